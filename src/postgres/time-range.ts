import { gte, lt, type SQL } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { lowestIdAt } from '../../schema/ids.ts'

/** From `since` on, and before `until`, as bounds of ids: they carry their time, and partitions outside stay shut. */
export function idsWithin(
  id: PgColumn,
  { since, until }: { since: Date | null; until: Date | null },
): (SQL | undefined)[] {
  return [
    since === null ? undefined : gte(id, lowestIdAt(since.getTime())),
    until === null ? undefined : lt(id, lowestIdAt(until.getTime())),
  ]
}
