import type { Sql } from './client.ts'
import { LOCKS } from './locks.ts'

const POLL_MS = 100

// Less than another process waits for its turn, so that it does not take the server's own restart for our end.
const AGAIN_MS = 2000

export type Presence = { alone: boolean; end(): void }

/**
 * Announces this process on its own session, and tells whether it is the only one. A killed process is gone from the
 * moment its session ends, so whoever finds itself alone knows that every claim in the database is a dead one's.
 * `patienceMs`: how long to wait for others to go before the answer is no.
 */
export async function announcePresence(sql: Sql, patienceMs: number, againMs = AGAIN_MS): Promise<Presence> {
  const alone = await tryToBeAlone(sql, performance.now() + patienceMs)
  if (!alone) await sql`select pg_advisory_lock_shared(${LOCKS.presence}::bigint)`
  // A session that ended took the lock along; its successor takes it anew. A failure is tried again with the next round.
  const timer = setInterval(() => void announceAgain(sql).catch(() => {}), againMs)
  return { alone, end: () => clearInterval(timer) }
}

async function tryToBeAlone(sql: Sql, deadline: number): Promise<boolean> {
  for (;;) {
    const [row] = await sql<[{ alone: boolean }]>`select pg_try_advisory_lock(${LOCKS.presence}::bigint) as alone`
    if (row.alone) {
      await sql`select pg_advisory_lock_shared(${LOCKS.presence}::bigint), pg_advisory_unlock(${LOCKS.presence}::bigint)`
      return true
    }
    if (performance.now() >= deadline) return false
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

async function announceAgain(sql: Sql): Promise<void> {
  await sql`
    select pg_advisory_lock_shared(${LOCKS.presence}::bigint)
    where not exists (select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())`
}
