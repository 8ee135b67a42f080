import type { Db } from '../../src/postgres/client.ts'

/**
 * How many sessions wait for a table or an advisory lock of this database: those of other test files, on the same server, do not
 * count. Whoever waits for a row waits for a transaction, which is of no database.
 */
export async function waitingForLocks({ sql }: Pick<Db, 'sql'>, locktype?: 'advisory'): Promise<number> {
  const [row] = await sql<[{ count: number }]>`
    select count(*)::int from pg_locks
    where not granted and database = (select oid from pg_database where datname = current_database())
      and (${locktype ?? null}::text is null or locktype = ${locktype ?? null})`
  return row.count
}
