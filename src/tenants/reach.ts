import { eq, type SQL } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { Reach } from './access.ts'

/** The condition that keeps a query within its reach. */
export function inReach(tenantId: PgColumn, reach: Reach): SQL | undefined {
  return reach === 'every' ? undefined : eq(tenantId, reach)
}
