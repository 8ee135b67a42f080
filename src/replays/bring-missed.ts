import { randomUUID } from 'node:crypto'
import { type DeliveryId, deliveryIdOf, type EndpointId, type EventId } from '../../schema/ids.ts'
import { boundsOf as deliveryBounds } from '../deliveries/admit.ts'
import { wants } from '../endpoints/matching.ts'
import type { Tx } from '../postgres/client.ts'
import { boundsOf } from '../routing/route.ts'
import { admitReplayed, type HandedOver, lockPlace, type Part, type Step, type StepContext, sendable } from './step.ts'

const MOST_EVENTS = 500
const MOST = 50

type EventRow = { id: EventId; type: string }
type Missing = EventRow & { delivery: DeliveryId }
type NewDelivery = HandedOver & { event: EventRow }

/**
 * Creates the deliveries of the next events that the endpoint wants and never had. They go in no lane: their place there
 * would come too late.
 */
export async function bringMissed(
  { tickets, clock, operationsTenantId }: StepContext,
  tx: Tx,
  part: Part,
): Promise<Step | null> {
  const now = clock.now()
  const events = await readEvents(tx, part)
  const place = await lockPlace(tx, part.endpointId, MOST, now)
  if (place === null) return null
  const patterns = await readPatterns(tx, part.endpointId)
  const wanted = events.filter(({ type }) => wants(patterns, type, part.tenantId === operationsTenantId))
  const missing = await withoutDelivery(tx, part, wanted)
  const { room, allowance } = place
  const most = room.tickets + room.waiting
  const chosen = missing.slice(0, most).map(
    ({ delivery, ...event }, index): NewDelivery => ({
      delivery,
      event,
      ticket: index < room.tickets ? randomUUID() : null,
      depth: allowance.ticketed + index,
      at: room.slots?.[index] ?? null,
    }),
  )
  const created = await createDeliveries(tx, part, chosen, now)
  await admitReplayed(tx, tickets, part.endpointId, place, created, now)
  const crowded = missing.length > most
  const position = (crowded ? chosen.at(-1)?.event.id : events.at(-1)?.id) ?? part.position
  return { redelivered: created.length, position, left: crowded || events.length === MOST_EVENTS, crowded }
}

/** Those that have been routed: what has not gets its delivery from there. */
function readEvents(tx: Tx, { tenantId, position, upTo }: Part): Promise<EventRow[]> {
  return tx<EventRow[]>`
    select id, type from postrider.events event
    where tenant_id = ${tenantId} and id > ${position} and id <= ${upTo} and not is_test and routed_at is not null
      and not exists (select from postrider.lane_outbox where event_id = event.id)
    order by id limit ${MOST_EVENTS}`
}

async function readPatterns(tx: Tx, endpoint: EndpointId): Promise<string[] | null> {
  const [row] = await tx<{ patterns: string[] | null }[]>`
    select event_types as patterns from postrider.endpoints where id = ${endpoint}`
  return row?.patterns ?? null
}

async function withoutDelivery(tx: Tx, { endpointId }: Part, wanted: readonly EventRow[]): Promise<Missing[]> {
  if (wanted.length === 0) return []
  const derived = wanted.map((event) => ({ ...event, delivery: deliveryIdOf(event.id, endpointId) }))
  const ids = derived.map(({ delivery }) => delivery)
  const { lowest, highest } = deliveryBounds(ids)
  const known = await tx<{ id: DeliveryId }[]>`
    select id from postrider.deliveries where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest}`
  const had = new Set(known.map(({ id }) => id))
  const missing = derived.filter(({ delivery }) => !had.has(delivery))
  const able = await sendable(
    tx,
    missing.map(({ id }) => id),
  )
  return missing.filter(({ id }) => able.has(id))
}

/**
 * Without those whose payload is being removed at this moment; no other can be before the commit, and whoever wants to removes
 * these deliveries as well. The endpoint is locked, so it must not wait here for who waits for that.
 */
async function createDeliveries(tx: Tx, part: Part, chosen: readonly NewDelivery[], now: Date): Promise<NewDelivery[]> {
  if (chosen.length === 0) return []
  const column = <T>(pick: (one: NewDelivery) => T) => chosen.map(pick) as never
  const { lowest, highest } = boundsOf(chosen.map(({ event }) => event.id))
  const rows = await tx<{ id: DeliveryId }[]>`
    with kept as materialized (
      select id from postrider.event_payloads
      where id = any(${column(({ event }) => event.id)}::uuid[]) and id between ${lowest} and ${highest}
      for key share skip locked
    )
    insert into postrider.deliveries (
      id, tenant_id, event_id, endpoint_id, event_type, replay_id, ticket_id, waiting_for, created_at
    )
    select made.id, ${part.tenantId}, event_id, ${part.endpointId}, event_type, ${part.replayId}, ticket_id,
      case when ticket_id is null then 'REPLAY' end, ${now.toISOString()}
    from unnest(
      ${column(({ delivery }) => delivery)}::uuid[], ${column(({ event }) => event.id)}::uuid[],
      ${column(({ event }) => event.type)}::text[], ${column(({ ticket }) => ticket)}::uuid[]
    ) as made (id, event_id, event_type, ticket_id) join kept on kept.id = event_id
    on conflict do nothing returning id`
  const created = new Set(rows.map(({ id }) => id))
  return chosen.filter(({ delivery }) => created.has(delivery))
}
