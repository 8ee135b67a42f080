import { isNotNull, lte, type SQL, sql } from 'drizzle-orm'
import type { CredentialState } from '../../schema/states.ts'
import type { apiKeys } from '../../schema/tables/api-keys.ts'
import type { portalSessions } from '../../schema/tables/portal-sessions.ts'

/** How an API key or a portal session may come to its end. */
export type Ending = { revokedAt: Date | null; expiresAt: Date | null }

export type EndingColumns = { [Name in keyof Ending]: (typeof apiKeys)[Name] | (typeof portalSessions)[Name] }

/** Whether an API key or a portal session opens anything at this moment. `stateIn` says the same in SQL. */
export function stateOf({ revokedAt, expiresAt }: Ending, now: Date): CredentialState {
  if (revokedAt !== null) return 'REVOKED'
  return expiresAt !== null && expiresAt <= now ? 'EXPIRED' : 'ACTIVE'
}

/** `stateOf` the rows of a table, to be compared with a `CredentialState`. */
export function stateIn({ revokedAt, expiresAt }: EndingColumns, now: Date): SQL<CredentialState> {
  return sql`case when ${isNotNull(revokedAt)} then 'REVOKED' when ${lte(expiresAt, now)} then 'EXPIRED' else 'ACTIVE' end`
}

/** Rows that open something at this moment. */
export function isActive(columns: EndingColumns, now: Date): SQL {
  return sql`${stateIn(columns, now)} = 'ACTIVE'`
}
