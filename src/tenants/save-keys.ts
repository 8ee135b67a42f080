import { and, arrayContains, eq, isNull, ne, sql } from 'drizzle-orm'
import type { ApiKeyId, TenantId } from '../../schema/ids.ts'
import type { Scope } from '../../schema/states.ts'
import { apiKeys } from '../../schema/tables/api-keys.ts'
import { wrong } from '../input.ts'
import { Mistake } from '../mistake.ts'
import type { Orm } from '../postgres/client.ts'
import { again } from '../postgres/deadlock.ts'
import { LOCKS } from '../postgres/locks.ts'
import { may, reachOf, type Viewer } from './access.ts'
import { API_KEY_COLUMNS, type ApiKeyRow, makeApiKey, revokeKey } from './api-keys.ts'
import { isActive, stateOf } from './caller-state.ts'
import { KEY_OF_ENVIRONMENT } from './first-key.ts'
import { holdMaker, holdTenant } from './hold.ts'
import { readActorName } from './input.ts'
import type { AccessContext } from './portal-sessions.ts'
import { inReach } from './reach.ts'

export type ApiKeyInput = { name: string; scopes: readonly Scope[]; expiresAt?: Date | null | undefined }

/**
 * Makes a key for a tenant, or for the whole instance (null), with no more than its maker may do; returns its text this once.
 * Mistakes: INVALID_INPUT, NOT_FOUND where the tenant was deleted meanwhile, UNAUTHENTICATED where the maker was revoked.
 */
export async function createApiKey(
  { db, clock }: AccessContext,
  viewer: Viewer,
  tenantId: TenantId | null,
  input: ApiKeyInput,
): Promise<{ apiKey: ApiKeyRow; key: string }> {
  const now = clock.now()
  const name = readKeyName(input.name)
  const scopes = readScopes(viewer, input.scopes)
  const expiresAt = input.expiresAt ?? null
  if (expiresAt !== null && expiresAt <= now) {
    const message = `The key would have expired already: it is ${now.toISOString()}. Give a later moment, or none for a key that never expires.`
    throw wrong(['input', 'expiresAt'], message)
  }
  return db.orm.transaction(async (tx) => {
    if (tenantId !== null) await holdTenant(tx, tenantId)
    await holdMaker(tx, viewer, now)
    return makeApiKey(tx, viewer, { tenantId, name, scopes, expiresAt }, now)
  })
}

/**
 * From its commit on the key opens nothing, nor do the portal sessions that it made. One that is revoked already stays as it is, and
 * nothing is noted. Mistakes: NOT_FOUND, LAST_ADMIN_KEY at `id`; UNAUTHENTICATED where that of the request was revoked meanwhile.
 */
export async function revokeApiKey(
  { db, wake, clock }: AccessContext,
  viewer: Viewer,
  id: ApiKeyId,
): Promise<ApiKeyRow> {
  const now = clock.now()
  const revoke = async (tx: Pick<Orm, 'select' | 'insert' | 'update' | 'execute'>) => {
    // One after another, so that two who revoke each other's do not leave nobody.
    await tx.execute(sql`select pg_advisory_xact_lock(${LOCKS.adminKeys}::bigint)`)
    await holdMaker(tx, viewer, now)
    const [key] = await tx
      .select(API_KEY_COLUMNS)
      .from(apiKeys)
      .where(and(inReach(apiKeys.tenantId, reachOf(viewer)), eq(apiKeys.id, id)))
      .for('update')
    if (!key) throw new Mistake('NOT_FOUND', ['id'], 'There is no such API key.')
    if (key.revokedAt !== null) return key
    if (opensInstance(key, now) && !(await isThereAnother(tx, key, now))) throw lastAdminKey(key)
    return revokeKey(tx, viewer, key, now)
  }
  const revoked = await again(() => db.orm.transaction(revoke))
  wake.signal('credentials')
  return revoked
}

function readKeyName(given: string): string {
  const name = readActorName(given, ['input', 'name'])
  if (name.trim() !== KEY_OF_ENVIRONMENT) return name
  const message = `${KEY_OF_ENVIRONMENT} is the name of the key that is given in the environment: choose another one.`
  throw wrong(['input', 'name'], message)
}

function readScopes(viewer: Viewer, given: readonly Scope[]): Scope[] {
  const path = ['input', 'scopes']
  const scopes = [...new Set(given)]
  if (scopes.length === 0) throw wrong(path, 'Name what the key may do, like [PUBLISH].')
  const beyond = scopes.filter((scope) => !may(viewer, scope))
  if (beyond.length === 0) return scopes
  throw wrong(path, `A key cannot make one that may do more than itself: ${beyond.join(', ')}.`)
}

function opensInstance(key: ApiKeyRow, now: Date): boolean {
  return key.tenantId === null && key.scopes.includes('ADMIN') && stateOf(key, now) === 'ACTIVE'
}

/** A key that is about to expire is no successor of one that never does. */
async function isThereAnother(orm: Pick<Orm, 'select'>, key: ApiKeyRow, now: Date): Promise<boolean> {
  const opens = and(isNull(apiKeys.tenantId), arrayContains(apiKeys.scopes, ['ADMIN']), isActive(apiKeys, now))
  const lasts = key.expiresAt === null ? isNull(apiKeys.expiresAt) : undefined
  const others = await orm
    .select({ id: apiKeys.id })
    .from(apiKeys)
    .where(and(opens, ne(apiKeys.id, key.id), lasts))
    .limit(1)
  return others.length > 0
}

function lastAdminKey({ expiresAt }: ApiKeyRow): Mistake {
  const [which, how] = expiresAt === null ? [' and never expires', ', without expiresAt,'] : ['', '']
  const message = `This is the last key that may administer the instance${which}. Make another one with apiKeyCreate(input: { tenant: "*", scopes: [ADMIN], … })${how} first.`
  return new Mistake('LAST_ADMIN_KEY', ['id'], message)
}
