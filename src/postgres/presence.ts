import type { Sql } from './client.ts'
import { LOCKS } from './locks.ts'

const POLL_MS = 100

/**
 * Announces this process on its own session, and tells whether it is the only one. A killed process is gone from the
 * moment its session ends, so whoever finds itself alone knows that every claim in the database is a dead one's.
 * `patienceMs`: how long to wait for others to go before the answer is no.
 */
export async function announcePresence(sql: Sql, patienceMs: number): Promise<{ alone: boolean }> {
  const deadline = performance.now() + patienceMs
  for (;;) {
    const [row] = await sql<[{ alone: boolean }]>`select pg_try_advisory_lock(${LOCKS.presence}::bigint) as alone`
    if (row.alone) {
      await sql`select pg_advisory_lock_shared(${LOCKS.presence}::bigint), pg_advisory_unlock(${LOCKS.presence}::bigint)`
      return { alone: true }
    }
    if (performance.now() >= deadline) break
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  await sql`select pg_advisory_lock_shared(${LOCKS.presence}::bigint)`
  return { alone: false }
}
