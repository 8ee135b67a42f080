import type { Log } from '../log.ts'
import type { Session } from '../postgres/client.ts'
import { keptSince } from '../postgres/days.ts'
import { LOCKS } from '../postgres/locks.ts'
import type { RetentionContext } from './context.ts'
import { detach, drop } from './drop.ts'
import { expirePending } from './expire.ts'
import { forgetLanes } from './lanes.ts'
import { listPartitions, type Partition, type PartitionedTable } from './partitions.ts'
import { forgetReplays } from './replays.ts'
import { routedUpTo } from './unrouted.ts'

// Nobody waits for us meanwhile. Our own transactions last a few seconds at most; a backup may last for hours.
const LOCK_TIMEOUT_MS = 5000

/**
 * Drops the days that are older than anything is kept. What is pending expires first, and is announced; then a day's
 * partitions are detached, and then dropped. Killed at any moment, the next run goes on: every step begins with what
 * is there. One process at a time; another one that comes meanwhile leaves it to that one.
 */
export async function dropOldDays(context: RetentionContext): Promise<void> {
  const session = await context.db.sql.reserve()
  try {
    const [lock] = await session<{ ours: boolean }[]>`select pg_try_advisory_lock(${LOCKS.retention}::bigint) as ours`
    if (!lock?.ours) return
    try {
      await session`select set_config('lock_timeout', ${`${context.lockTimeoutMs ?? LOCK_TIMEOUT_MS}ms`}, false)`
      await retain(context, session)
    } finally {
      await session`reset lock_timeout`
      await session`select pg_advisory_unlock(${LOCKS.retention}::bigint)`
    }
  } finally {
    session.release()
  }
}

async function retain(context: RetentionContext, session: Session): Promise<void> {
  const { db, clock, log, retention, timeCheck } = context
  const now = clock.now()
  const partitions = await listPartitions(session)
  const before = (table: PartitionedTable, end: Date) =>
    partitions.filter((one) => one.table === table && one.day < end.getTime())
  const [bodiesEnd, rowsEnd] = [keptSince(now, retention.bodyDays), keptSince(now, retention.days)]
  const due = [before('event_payloads', bodiesEnd), before('events', rowsEnd)]
  const days = due.map((ones) => ones.filter(({ state }) => state === 'ATTACHED').length)
  if (!timeCheck(now, Math.max(...days))) return
  // What is pending needs its payload, so it ends with that, and every delivery of a day with the first of them.
  const payloadsEnd = await routedUpTo(context, bodiesEnd, before('event_payloads', bodiesEnd))
  await expirePending(context, payloadsEnd)
  const payloads = await detach(session, log, before('event_payloads', payloadsEnd))
  // Once more: a retry by hand may have come before its payload was hidden. After that it is refused.
  if (payloads.length > 0) await expirePending(context, payloadsEnd)
  await drop(session, log, payloads)
  const bodies = await detachAndDrop(session, log, before('attempt_bodies', payloadsEnd))
  const hidden = [
    endOf(before('event_payloads', payloadsEnd), payloads, payloadsEnd),
    endOf(before('attempt_bodies', payloadsEnd), bodies, payloadsEnd),
  ]
  const rows = await dropRows(session, log, before, earliest(rowsEnd, ...hidden))
  if (rows.length > 0) {
    await forgetLanes(db, rowsEnd)
    await forgetReplays(db, rowsEnd)
  }
}

/** Children before parents, each as far as the one before got, so that no row is ever without the one it belongs to. */
async function dropRows(
  session: Session,
  log: Log,
  before: (table: PartitionedTable, end: Date) => Partition[],
  rowsEnd: Date,
): Promise<Partition[]> {
  await noteDropped(session, before('attempts', rowsEnd))
  const dropped: Partition[] = []
  let end = rowsEnd
  for (const table of ['attempts', 'deliveries', 'events'] as const) {
    const due = before(table, end)
    const done = await detachAndDrop(session, log, due)
    dropped.push(...done)
    end = endOf(due, done, end)
  }
  return dropped
}

/** Up to when a table is done: to the first day that had to be left. */
function endOf(due: readonly Partition[], done: readonly Partition[], end: Date): Date {
  return earliest(end, ...due.filter((one) => !done.includes(one)).map(({ day }) => new Date(day)))
}

function earliest(...moments: Date[]): Date {
  return new Date(Math.min(...moments.map((moment) => moment.getTime())))
}

async function detachAndDrop(session: Session, log: Log, partitions: readonly Partition[]): Promise<Partition[]> {
  const detached = await detach(session, log, partitions)
  await drop(session, log, detached)
  return detached
}

/** Before they are hidden: a feed that goes on from an earlier position is told that it has a gap. */
async function noteDropped(session: Session, attempts: readonly Partition[]): Promise<void> {
  for (const { name } of attempts) {
    await session.unsafe(`
      update postrider.installation set dropped_position = highest.position
      from (select max(position) as position from postrider.${name}) highest
      where highest.position > dropped_position`)
  }
}
