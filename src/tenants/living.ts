import { sql } from 'drizzle-orm'
import { type Orm, toDate } from '../postgres/client.ts'
import type { Viewer } from './access.ts'

/** Which of these credentials were not revoked, with the moment at which each expires; null: never. */
export type Living = Map<NonNullable<Viewer['id']>, Date | null>

/** Asks for all of them, API keys and portal sessions, in one statement. */
export async function findLiving(orm: Orm, credentials: readonly Viewer['id'][]): Promise<Living> {
  const ids = sql`any(${sql.param(credentials)}::uuid[])`
  const rows = await orm.execute<{ id: NonNullable<Viewer['id']>; expiresAt: string | null }>(sql`
    select id, expires_at as "expiresAt" from postrider.api_keys where id = ${ids} and revoked_at is null
    union all
    select id, expires_at from postrider.portal_sessions where id = ${ids} and revoked_at is null`)
  return new Map(rows.map(({ id, expiresAt }) => [id, toDate(expiresAt)]))
}
