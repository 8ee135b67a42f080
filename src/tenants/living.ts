import { sql } from 'drizzle-orm'
import { apiKeys } from '../../schema/tables/api-keys.ts'
import { portalSessions } from '../../schema/tables/portal-sessions.ts'
import { type Orm, toDate } from '../postgres/client.ts'
import type { Viewer } from './access.ts'
import { isActive } from './caller-state.ts'

/** Which of these API keys and portal sessions open something, with the moment at which each expires; null: never. */
export type Living = Map<NonNullable<Viewer['id']>, Date | null>

/** Asks for all of them in one statement. */
export async function findLiving(orm: Orm, callers: readonly Viewer['id'][], now: Date): Promise<Living> {
  const ids = sql`any(${sql.param(callers)}::uuid[])`
  const rows = await orm.execute<{ id: NonNullable<Viewer['id']>; expiresAt: string | null }>(sql`
    select id, expires_at as "expiresAt" from ${apiKeys} where id = ${ids} and ${isActive(apiKeys, now)}
    union all
    select id, expires_at from ${portalSessions} where id = ${ids} and ${isActive(portalSessions, now)}`)
  return new Map(rows.map(({ id, expiresAt }) => [id, toDate(expiresAt)]))
}
