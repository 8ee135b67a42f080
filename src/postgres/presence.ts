import type { Sql } from './client.ts'
import { LOCKS } from './locks.ts'

const POLL_MS = 100

// Less than another process waits for its turn, so that it does not take the server's own restart for our end.
const AGAIN_MS = 2000
/** After so long everybody who lives has announced itself again at a server that was started anew. */
export const EVERYBODY_IS_BACK_MS = 5000

// A killed worker's sessions end as soon as they notice: at once, or with the statement that they are in.
const LAST_STATEMENTS_MS = 1000
const COME_BACK_MS = 200
/** The name of a worker's pool, by which its sessions are known: only workers hold claims. */
export const WORKER_POOL = 'worker'

export type Presence = {
  alone: boolean
  /** The session has ended, and this process has not: announces it anew as soon as there is a server. */
  comeBack(): Promise<void>
  end(): void
}

/**
 * Announces this process on its own session, and tells whether it is the only one. A killed process is gone from the
 * moment its session ends, so whoever finds itself alone knows that every claim in the database is a dead one's.
 * `patienceMs`: how long to wait for others to go before the answer is no. `settledMs`: a server that started less than this
 * ago may have others that have not announced themselves again: then the answer is no as well. It is also no while a worker has
 * sessions there whose announcement was cut off, as by a proxy that was restarted.
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
  let ended = false
  let comingBack: Promise<void> | null = null
  const comeBack = async () => {
    while (!ended) {
      try {
        return await announceAgain(sql)
      } catch {
        await new Promise((resolve) => setTimeout(resolve, COME_BACK_MS))
      }
    }
  }
  // A session that ended took the lock along; its successor takes it anew. A failure is tried again with the next round.
  const timer = setInterval(() => void announceAgain(sql).catch(() => {}), againMs)
  return {
    alone: alone && (settledMs === 0 || ((await hasRunFor(sql, settledMs)) && (await workersAreGone(sql)))),
    comeBack() {
      comingBack ??= comeBack().finally(() => {
        comingBack = null
      })
      return comingBack
    },
    end() {
      ended = true
      clearInterval(timer)
    },
  }
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

async function workersAreGone(sql: Sql): Promise<boolean> {
  const deadline = performance.now() + LAST_STATEMENTS_MS
  for (;;) {
    const sessions = await sql`
      select from pg_stat_activity
      where datname = current_database() and application_name = ${`postrider ${WORKER_POOL}`} limit 1`
    if (sessions.length === 0) return true
    if (performance.now() >= deadline) return false
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

async function announceAgain(sql: Sql): Promise<void> {
  await sql`
    select pg_advisory_lock_shared(${LOCKS.presence}::bigint)
    where not exists (select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())`
}
