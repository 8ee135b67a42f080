import type { Log } from '../log.ts'
import type { Sql } from './client.ts'

/** What time it is. Passed to everything that decides by time, so that tests can move it. */
export type Clock = { now(): Date }

export type DatabaseClock = Clock & {
  /** Asks the database again; called at the start and every minute. */
  sync(): Promise<void>
}

const WORTH_A_WARNING_MS = 5000
const LONGEST_ROUND_TRIP_MS = 500

/** A clock kept in step with the database's: processes on several machines agree on what is due. */
export function createDatabaseClock(sql: Sql, log: Log): DatabaseClock {
  let offsetMs = 0
  let warned = false
  return {
    now: () => new Date(Date.now() + offsetMs),
    async sync() {
      const before = Date.now()
      const [row] = await sql<[{ ms: number }]>`select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms`
      const after = Date.now()
      // Waited for long, the answer says little about when it was given.
      if (after - before > LONGEST_ROUND_TRIP_MS) return
      offsetMs = Math.round(row.ms - (before + after) / 2)
      const far = Math.abs(offsetMs) > WORTH_A_WARNING_MS
      if (far && !warned) {
        log.warn(
          { offsetMs },
          'The clocks of this machine and of the database differ: receivers may refuse our signatures as too old or too new',
        )
      }
      warned = far
    },
  }
}

const CLOCK_SYNC_MS = 60_000

/** A clock that is compared with the database's now and every minute, until `onEnd`. */
export async function keepTime(sql: Sql, log: Log, onEnd: (end: () => void) => void): Promise<Clock> {
  const clock = createDatabaseClock(sql, log)
  await clock.sync()
  const timer = setInterval(() => {
    clock.sync().catch((err) => log.debug({ err }, 'The database was not asked for the time'))
  }, CLOCK_SYNC_MS)
  onEnd(() => clearInterval(timer))
  return clock
}
