import { randomBytes } from 'node:crypto'
import { eq, getTableColumns } from 'drizzle-orm'
import { type ApiKeyId, newId, publicId, type TenantId } from '../../schema/ids.ts'
import type { AuditAction, Scope } from '../../schema/states.ts'
import { apiKeys } from '../../schema/tables/api-keys.ts'
import type { Actor } from '../audit/actor.ts'
import { recordAction } from '../audit/record.ts'
import type { Orm } from '../postgres/client.ts'
import { bearerText, hashOf, hintOf } from './bearer-text.ts'
import { revokeSessionsOfKey } from './portal-sessions.ts'

export type NewApiKey = {
  tenantId: TenantId | null
  name: string
  scopes: Scope[]
  expiresAt?: Date | null
  /** One that somebody made up; absent: a new one. */
  text?: string
}

const { hash: _, ...columns } = getTableColumns(apiKeys)

/** What is read of a key: all but its hash, which only `authenticate` needs. */
export const API_KEY_COLUMNS = columns
export type ApiKeyRow = Omit<typeof apiKeys.$inferSelect, 'hash'>

/** Makes a key and notes who did: every key comes from here. Its text is kept nowhere. */
export async function makeApiKey(
  orm: Pick<Orm, 'insert'>,
  actor: Actor,
  { tenantId, name, scopes, expiresAt = null, text = bearerText('prk', randomBytes(32)) }: NewApiKey,
  now: Date,
): Promise<{ apiKey: ApiKeyRow; key: string }> {
  const id: ApiKeyId = newId(now)
  const row = { id, tenantId, name, hash: hashOf(text), hint: hintOf(text), scopes, createdAt: now, expiresAt }
  const [made] = await orm.insert(apiKeys).values(row).returning(API_KEY_COLUMNS)
  const apiKey = made as ApiKeyRow
  await recordAction(orm, actor, aboutKey('API_KEY_CREATE', apiKey), now)
  return { apiKey, key: text }
}

/** What is told of a key in the audit log. */
export function aboutKey(action: AuditAction, { id, tenantId, name, scopes, expiresAt }: ApiKeyRow) {
  const details = { name, scopes, expiresAt: expiresAt?.toISOString() ?? null }
  return { action, tenantId, object: publicId('key', id), details }
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
    .returning(API_KEY_COLUMNS)
  const row = revoked as ApiKeyRow
  await revokeSessionsOfKey(orm, id, now)
  await recordAction(orm, actor, aboutKey('API_KEY_REVOKE', row), now)
  return row
}
