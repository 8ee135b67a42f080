import { and, inArray, isNull } from 'drizzle-orm'
import type { ApiKeyId } from '../../schema/ids.ts'
import { apiKeys } from '../../schema/tables/api-keys.ts'
import type { Orm } from '../postgres/client.ts'
import type { Viewer } from './access.ts'

/** Which of these credentials were not revoked, with the moment at which each expires; null: never. */
export type Living = Map<NonNullable<Viewer['id']>, Date | null>

/** Asks for all of them in one statement. */
export async function findLiving(orm: Orm, credentials: readonly Viewer['id'][]): Promise<Living> {
  const rows = await orm
    .select({ id: apiKeys.id, expiresAt: apiKeys.expiresAt })
    .from(apiKeys)
    .where(and(inArray(apiKeys.id, credentials as ApiKeyId[]), isNull(apiKeys.revokedAt)))
  return new Map(rows.map(({ id, expiresAt }) => [id, expiresAt]))
}
