import { type EventId, newId } from '../../schema/ids.ts'
import { ORDINARY } from '../events/bursts.ts'
import type { Tx } from '../postgres/client.ts'
import { boundsOf } from '../postgres/time-range.ts'
import type { Claim } from '../queue/tickets.ts'
import type { OutboxTicket, RouteContext } from './route.ts'

// After so many tries in vain an event is shown as parked.
const TRIES = 3
const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 3_600_000

/** How long an event that could not be routed so often by our own fault waits for its next try. */
export function pauseAfter(failures: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 4 ** (failures - 1))
}

/**
 * Deals with a ticket that cannot be routed by our own fault: one with many events is split, so that the one at fault is found
 * in a few steps and the others go; a single event waits, longer each time, in nobody's way. Returns the events that wait.
 */
export async function park(context: RouteContext, claim: Claim<OutboxTicket>): Promise<EventId[]> {
  const { db, tickets, clock } = context
  const { events, failures = 0 } = claim.data
  const now = clock.now()
  const half = Math.ceil(events.length / 2)
  const parts =
    events.length > 1
      ? [events.slice(0, half), events.slice(half)].map((part) => ({ data: { events: part } }))
      : [{ data: { events, failures: failures + 1 }, startAfter: new Date(now.getTime() + pauseAfter(failures + 1)) }]
  await db.transaction(async (tx) => {
    const finished = await tickets.finish(tx, 'outbox', [claim])
    if (finished.size === 0) return
    await tickets.enqueue(
      tx,
      'outbox',
      parts.map((part) => ({ id: newId(now), priority: ORDINARY, ...part })),
    )
    if (events.length === 1 && failures + 1 >= TRIES) await markParked(tx, events, now)
  })
  return events.length > 1 ? [] : events
}

async function markParked(tx: Tx, events: readonly EventId[], now: Date): Promise<void> {
  const { lowest, highest } = boundsOf(events)
  await tx`
    update postrider.events set parked_at = ${now.toISOString()}
    where id = any(${events as never}::uuid[]) and id between ${lowest} and ${highest} and routed_at is null and parked_at is null`
}
