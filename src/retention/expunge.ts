import {
  type AttemptId,
  type DeliveryId,
  type EndpointId,
  type EventId,
  highestIdAt,
  lowestIdAt,
  publicId,
  type TenantId,
  timeOf,
} from '../../schema/ids.ts'
import { recordActionIn } from '../audit/record.ts'
import { admitDue, lockEndpoints } from '../deliveries/admit.ts'
import { advanceLanes } from '../deliveries/lanes.ts'
import { Mistake } from '../mistake.ts'
import type { Db, Tx } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { again } from '../postgres/deadlock.ts'
import { boundsOf } from '../postgres/time-range.ts'
import type { Tickets } from '../queue/tickets.ts'
import type { Wake } from '../queue/wake.ts'
import { reachOf, type Viewer } from '../tenants/access.ts'

export type ExpungeContext = { db: Db; tickets: Tickets; wake: Wake; clock: Clock }

/**
 * Removes a payload and what may echo it, and leaves the rest of the event as its tombstone. What is pending is cancelled, in
 * flight or not. The hash in an idempotency key stays: without it a producer that asks again would bring the payload back.
 * Operational events, tickets and the log never have payloads. Mistakes: NOT_FOUND.
 */
export async function expungeEvent(context: ExpungeContext, viewer: Viewer, id: EventId): Promise<void> {
  await again(() => context.db.transaction((tx) => expunge(tx, context, viewer, id)))
  // Lanes may have gone on, and places at endpoints are free.
  context.wake.signal('deliver')
  context.wake.signal('promote')
}

async function expunge(tx: Tx, context: ExpungeContext, viewer: Viewer, id: EventId): Promise<void> {
  await markExpunged(tx, viewer, id, context.clock.now())
  await tx`delete from postrider.event_payloads where id = ${id}`
  const deliveries = await cancelAll(tx, context, id)
  await deleteEchoes(tx, id, deliveries)
}

/**
 * First of all: routing stamps the event as well, so either its deliveries are all there after this, or it begins anew and
 * finds nothing to route. For lanes its tenant has the turn, as when events are put into them.
 */
async function markExpunged(tx: Tx, viewer: Viewer, id: EventId, now: Date): Promise<void> {
  const reach = reachOf(viewer)
  const mine = tx`id = ${id} and (${reach === 'every'} or tenant_id = ${reach === 'every' ? null : reach})`
  await tx`
    select from postrider.tenants where id = (select tenant_id from postrider.events where ${mine}) for no key update`
  const [marked] = await tx<{ tenantId: TenantId }[]>`
    update postrider.events set
      expunged_at = coalesce(expunged_at, ${now.toISOString()}), routed_at = coalesce(routed_at, ${now.toISOString()}),
      schema_faults = null
    where ${mine} returning tenant_id as "tenantId"`
  if (!marked) throw new Mistake('NOT_FOUND', ['id'], `There is no event ${publicId('evt', id)}.`)
  await tx`delete from postrider.lane_outbox where event_id = ${id}`
  const action = { action: 'EVENT_EXPUNGE', tenantId: marked.tenantId, object: publicId('evt', id) } as const
  await recordActionIn(tx, viewer, action, now)
}

type Row = { id: DeliveryId; endpoint: EndpointId; lane: string | null }

/** Returns the deliveries of the event, whatever their state. */
async function cancelAll(tx: Tx, { tickets, clock }: ExpungeContext, event: EventId): Promise<DeliveryId[]> {
  const now = clock.now()
  // A delivery's id begins with its event's time.
  const [low, high] = [lowestIdAt(timeOf(event)), highestIdAt(timeOf(event))]
  const rows = await tx<Row[]>`
    select id, endpoint_id as endpoint, lane from postrider.deliveries
    where event_id = ${event} and id between ${low} and ${high}`
  if (rows.length === 0) return []
  const ids = rows.map(({ id }) => id)
  const { lowest, highest } = boundsOf(ids)
  await lockEndpoints(tx, [...new Set(rows.map(({ endpoint }) => endpoint))])
  await tx`
    select from postrider.deliveries where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest}
    order by id for update`
  await tx`
    update postrider.deliveries set
      state = case state when 'PENDING' then 'CANCELLED' else state end,
      settled_at = coalesce(settled_at, ${now.toISOString()}), ticket_id = null, waiting_for = null, next_attempt_at = null,
      requested_trigger = null, requested_at = null, replay_id = null
    where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest}
      and (ticket_id is not null or waiting_for is not null)`
  // Also behind one that failed and holds up its lane: it can never be delivered now.
  const ended = rows.flatMap(({ id, endpoint, lane }) => (lane === null ? [] : [{ delivery: id, endpoint, lane }]))
  await admitDue(tx, tickets, await advanceLanes(tx, ended), now)
  return ids
}

/**
 * Bodies, headers, and advice that quotes where a redirect points to. After the locks on the event and its deliveries: an attempt
 * that is recorded later sees that they are not what they were.
 */
async function deleteEchoes(tx: Tx, event: EventId, deliveries: readonly DeliveryId[]): Promise<void> {
  if (deliveries.length === 0) return
  const attempts = await tx<{ id: AttemptId }[]>`
    select id from postrider.attempts
    where delivery_id = any(${deliveries as never}::uuid[]) and id >= ${lowestIdAt(timeOf(event))} order by id`
  if (attempts.length === 0) return
  const ids = attempts.map(({ id }) => id)
  const own = tx`id = any(${ids as never}::uuid[]) and id between ${ids[0] as string} and ${ids.at(-1) as string}`
  await tx`delete from postrider.attempt_bodies where ${own}`
  await tx`
    update postrider.attempts set response_headers = null,
      error_message = case when status between 300 and 399 then null else error_message end
    where ${own}`
}
