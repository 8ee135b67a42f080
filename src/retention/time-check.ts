import type { Log } from '../log.ts'

/** Whether so many days may be dropped at once because it is this time. */
export type TimeCheck = (now: Date, days: number) => boolean

// What runs all the time drops one day after another; a weekend's pause is not worth a question.
const MOST_DAYS = 2
const BELIEVED_AFTER_MS = 3_600_000
const STEP_MS = 60_000

/**
 * A clock that is wrong, of this machine after a pause or of the database after a failover, must not cost everything that is kept.
 * A time by which many days would go at once is believed when it has gone on evenly for an hour of the monotonic clock, as it has
 * where Postrider was switched off for a month, or shall keep less than before.
 */
export function createTimeCheck(log: Log, monotonic = () => performance.now()): TimeCheck {
  let doubted: { since: number; ahead: number } | null = null
  return (now, days) => {
    if (days <= MOST_DAYS) {
      doubted = null
      return true
    }
    const since = monotonic()
    const ahead = now.getTime() - since
    if (doubted !== null && Math.abs(ahead - doubted.ahead) < STEP_MS) return since - doubted.since >= BELIEVED_AFTER_MS
    doubted = { since, ahead }
    log.error(
      { now, days },
      'Very many days are no longer kept by this time. Is the clock right, and POSTRIDER_RETENTION_DAYS? Unless either changes they are dropped in an hour',
    )
    return false
  }
}
