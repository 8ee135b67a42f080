import { type EventId, lowestIdAt, newId, publicId, timeOf } from '../../schema/ids.ts'
import { ORDINARY } from '../events/bursts.ts'
import { DAY_MS, dayOf } from '../postgres/days.ts'
import { createPause } from '../queue/pause.ts'
import type { RetentionContext } from './context.ts'
import type { Partition } from './partitions.ts'

const MOST_AT_ONCE = 500
const PATIENCE_MS = 30_000
const POLL_MS = 200
// A day is held back for what cannot be routed, but not for ever.
const MOST_DAYS_HELD = 7

/**
 * Up to when everything may go: events that were never routed are put into the outbox once more, and waited for. A day
 * with some that cannot be routed stays for another week; what goes with it then is counted in the log.
 */
export async function routedUpTo(context: RetentionContext, end: Date, payloads: readonly Partition[]): Promise<Date> {
  const { tickets, wake, db, clock, log } = context
  const attached = payloads.filter(({ state }) => state === 'ATTACHED').map(({ day }) => day)
  if (attached.length === 0) return end
  const from = new Date(Math.min(...attached))
  let unrouted = await findUnrouted(context, from, end)
  if (unrouted.length === 0) return end
  const ticketless = await withoutTicket(context, unrouted)
  if (ticketless.length > 0)
    await tickets.enqueue(db.sql, 'outbox', [
      { id: newId(clock.now()), priority: ORDINARY, data: { events: ticketless } },
    ])
  wake.signal('outbox')
  const pause = createPause()
  const deadline = performance.now() + (context.patienceMs ?? PATIENCE_MS)
  while (unrouted.length > 0 && performance.now() < deadline) {
    await pause.for(POLL_MS)
    unrouted = await findUnrouted(context, from, end)
  }
  const days = unrouted.map((id) => dayOf(timeOf(id)))
  const held = days.filter((day) => day >= end.getTime() - MOST_DAYS_HELD * DAY_MS)
  const lost = days.length - held.length
  const first = unrouted[0] && publicId('evt', unrouted[0])
  if (held.length > 0) log.warn({ events: held.length, first }, 'Old events are not routed yet: their days stay')
  if (lost > 0) log.error({ events: lost, first }, 'Events that could not be routed are no longer kept')
  return new Date(Math.min(end.getTime(), ...held))
}

/** The oldest of them, those that wait for their places in lanes as well. */
async function findUnrouted({ db }: RetentionContext, from: Date, end: Date): Promise<EventId[]> {
  const [low, high] = [lowestIdAt(from.getTime()), lowestIdAt(end.getTime())]
  const rows = await db.sql<{ id: EventId }[]>`
    (select id from postrider.events where id >= ${low} and id < ${high} and routed_at is null order by id limit ${MOST_AT_ONCE})
    union
    (select event_id from postrider.lane_outbox where event_id < ${high} order by event_id limit ${MOST_AT_ONCE})
    order by id limit ${MOST_AT_ONCE}`
  return rows.map(({ id }) => id)
}

/** What is parked has its ticket still, and would get one more every time. */
async function withoutTicket({ db, tickets }: RetentionContext, events: readonly EventId[]): Promise<EventId[]> {
  const rows = await db.sql<{ id: EventId }[]>`
    select id from unnest(${events as never}::uuid[]) as event (id) where id not in (${tickets.namedEvents(db.sql)})`
  return rows.map(({ id }) => id)
}
