import type { Sql } from './client.ts'

// Any number that is ours. Held shared by every process that works on this database, for as long as its session lives.
const PRESENCE_LOCK = '7768310003'
const POLL_MS = 100

/**
 * Announces this process on its own session, and tells whether it is the only one. A killed process is gone from the
 * moment its session ends, so whoever finds itself alone knows that every claim in the database is a dead one's.
 * `patienceMs`: how long to wait for others to go before the answer is no.
 */
export async function announcePresence(sql: Sql, patienceMs: number): Promise<{ alone: boolean }> {
  const deadline = performance.now() + patienceMs
  for (;;) {
    const [row] = await sql<[{ alone: boolean }]>`select pg_try_advisory_lock(${PRESENCE_LOCK}::bigint) as alone`
    if (row.alone) {
      await sql`select pg_advisory_lock_shared(${PRESENCE_LOCK}::bigint), pg_advisory_unlock(${PRESENCE_LOCK}::bigint)`
      return { alone: true }
    }
    if (performance.now() >= deadline) break
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  await sql`select pg_advisory_lock_shared(${PRESENCE_LOCK}::bigint)`
  return { alone: false }
}
