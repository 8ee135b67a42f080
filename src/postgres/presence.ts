import type { Sql } from './client.ts'
import { LOCKS } from './locks.ts'

const POLL_MS = 100

// Less than another process waits for its turn, so that it does not take the server's own restart for our end.
const AGAIN_MS = 2000
/** After so long everybody who lives has announced itself again at a server that was started anew. */
export const EVERYBODY_IS_BACK_MS = 5000

export type Presence = { alone: boolean; end(): void }

/**
 * Announces this process on its own session, and tells whether it is the only one. A killed process is gone from the
 * moment its session ends, so whoever finds itself alone knows that every claim in the database is a dead one's.
 * `patienceMs`: how long to wait for others to go before the answer is no. `settledMs`: a server that started less than this
 * ago may have others that have not announced themselves again: then the answer is no as well.
 */
export async function announcePresence(
  sql: Sql,
  {
    patienceMs = 0,
    settledMs = 0,
    againMs = AGAIN_MS,
  }: { patienceMs?: number; settledMs?: number; againMs?: number } = {},
): Promise<Presence> {
  const alone = await tryToBeAlone(sql, performance.now() + patienceMs)
  if (!alone) await sql`select pg_advisory_lock_shared(${LOCKS.presence}::bigint)`
  // A session that ended took the lock along; its successor takes it anew. A failure is tried again with the next round.
  const timer = setInterval(() => void announceAgain(sql).catch(() => {}), againMs)
  return { alone: alone && (await hasRunFor(sql, settledMs)), end: () => clearInterval(timer) }
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

/** Statistics begin anew with a crash of one backend, which ends all sessions and leaves the postmaster's start as it was. */
async function hasRunFor(sql: Sql, ms: number): Promise<boolean> {
  const [row] = await sql<[{ settled: boolean }]>`
    select extract(epoch from clock_timestamp() - greatest(pg_postmaster_start_time(), stats_reset)) * 1000 >= ${ms}::float8 as settled
    from pg_stat_bgwriter`
  return row.settled
}

async function announceAgain(sql: Sql): Promise<void> {
  await sql`
    select pg_advisory_lock_shared(${LOCKS.presence}::bigint)
    where not exists (select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())`
}
