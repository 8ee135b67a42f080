import { randomBytes } from 'node:crypto'
import { and, eq, isNull, ne, sql } from 'drizzle-orm'
import { type ApiKeyId, newId, publicId, type TenantId } from '../../schema/ids.ts'
import type { AuditAction, Scope } from '../../schema/states.ts'
import { apiKeys } from '../../schema/tables/api-keys.ts'
import { type Actor, SYSTEM } from '../audit/actor.ts'
import { recordAction } from '../audit/record.ts'
import type { Orm } from '../postgres/client.ts'
import { LOCKS } from '../postgres/locks.ts'
import { credentialText, hashOf, hintOf } from './credential-text.ts'
import { revokeSessionsOfKey } from './portal-sessions.ts'

export type NewApiKey = { tenantId: TenantId | null; name: string; scopes: Scope[]; expiresAt?: Date | null }
export type ApiKeyRow = Omit<typeof apiKeys.$inferSelect, 'hash'>

type Writer = Pick<Orm, 'insert'>

/** The name of the key that stands in the environment; nobody else may have it. */
export const KEY_OF_ENVIRONMENT = 'POSTRIDER_ADMIN_KEY'

/** Makes a key; returns its row, and its text, which is kept nowhere. */
export async function makeApiKey(orm: Writer, key: NewApiKey, now: Date): Promise<{ row: ApiKeyRow; text: string }> {
  const text = credentialText('prk', randomBytes(32))
  return { row: (await insertKey(orm, text, key, now)) as ApiKeyRow, text }
}

/**
 * Sees to it that there is a key to begin with. With POSTRIDER_ADMIN_KEY given, that one is added where it is missing, and
 * one that was given there before is revoked.
 * Without, a first key is made on an installation that has none, and its text returned, to be shown this once.
 */
export async function ensureFirstKey(orm: Orm, options: { given: string | null; now: Date }): Promise<string | null> {
  const { given, now } = options
  if (given !== null) {
    await orm.transaction((tx) => replaceGivenKey(tx, given, now))
    return null
  }
  return orm.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(${LOCKS.adminKeys}::bigint)`)
    const [existing] = await tx.select({ id: apiKeys.id }).from(apiKeys).limit(1)
    if (existing) return null
    const { row, text } = await makeApiKey(tx, { tenantId: null, name: 'first admin key', scopes: ['ADMIN'] }, now)
    await recordAction(tx, SYSTEM, aboutKey('API_KEY_CREATE', row), now)
    return text
  })
}

/** What is told of a key in the audit log. */
export function aboutKey(action: AuditAction, { id, tenantId, name, scopes }: Omit<ApiKeyRow, 'hint'>) {
  return { action, tenantId, object: publicId('key', id), details: { name, scopes } }
}

/**
 * Revokes a key, with the portal sessions that it made. The lock waits for whoever holds the key to make one more, which is seen
 * then: an update alone would not wait.
 */
export async function revokeKey(
  orm: Pick<Orm, 'select' | 'insert' | 'update'>,
  actor: Actor,
  { id, revokedAt }: Pick<ApiKeyRow, 'id' | 'revokedAt'>,
  now: Date,
): Promise<ApiKeyRow> {
  await orm.select({ id: apiKeys.id }).from(apiKeys).where(eq(apiKeys.id, id)).for('update')
  const [revoked] = await orm
    .update(apiKeys)
    .set({ revokedAt: revokedAt ?? now })
    .where(eq(apiKeys.id, id))
    .returning()
  const row = revoked as ApiKeyRow
  await revokeSessionsOfKey(orm, id, now)
  await recordAction(orm, actor, aboutKey('API_KEY_REVOKE', row), now)
  return row
}

/** The key of the environment: another one that stood there before opens nothing any more. */
async function replaceGivenKey(
  orm: Pick<Orm, 'select' | 'insert' | 'update' | 'execute'>,
  text: string,
  now: Date,
): Promise<void> {
  // Many processes may start at once, each with the key.
  await orm.execute(sql`select pg_advisory_xact_lock(${LOCKS.adminKeys}::bigint)`)
  const name = KEY_OF_ENVIRONMENT
  const added = await insertKey(orm, text, { tenantId: null, name, scopes: ['ADMIN'] }, now)
  const ofEnvironment = and(eq(apiKeys.name, name), isNull(apiKeys.tenantId))
  const restored = await orm
    .update(apiKeys)
    .set({ revokedAt: null })
    .where(and(ofEnvironment, eq(apiKeys.hash, hashOf(text)), sql`${apiKeys.revokedAt} is not null`))
    .returning()
  for (const row of added ? [added] : restored) {
    await recordAction(orm, SYSTEM, aboutKey('API_KEY_CREATE', row), now)
  }
  const replaced = await orm
    .select({ id: apiKeys.id, revokedAt: apiKeys.revokedAt })
    .from(apiKeys)
    .where(and(ofEnvironment, ne(apiKeys.hash, hashOf(text)), isNull(apiKeys.revokedAt)))
  for (const row of replaced) await revokeKey(orm, SYSTEM, row, now)
}

/** Null: there is a key with this text. */
async function insertKey(orm: Writer, text: string, key: NewApiKey, now: Date): Promise<ApiKeyRow | null> {
  const { tenantId, name, scopes, expiresAt = null } = key
  const id: ApiKeyId = newId(now)
  const row = { id, tenantId, name, hash: hashOf(text), hint: hintOf(text), scopes, createdAt: now, expiresAt }
  const [inserted] = await orm.insert(apiKeys).values(row).onConflictDoNothing().returning()
  return inserted ?? null
}
