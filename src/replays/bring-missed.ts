import { randomUUID } from 'node:crypto'
import { type DeliveryId, deliveryIdOf, type EndpointId, type EventId, type TenantId } from '../../schema/ids.ts'
import { createDeliveries, knownDeliveries } from '../deliveries/create.ts'
import type { Wishes } from '../endpoints/decide.ts'
import type { Tx } from '../postgres/client.ts'
import { boundsOf } from '../postgres/time-range.ts'
import { type DecidedRow, decideEach, type FilterFault, noteFaults } from '../routing/decisions.ts'
import { stampMatched } from '../routing/matched.ts'
import { admitReplayed, type HandedOver, lockPlace, type Part, type Step, type StepContext, sendable } from './step.ts'

const MOST_EVENTS = 500
const MOST = 50
// Of a filter: some 0.25 s. The next step goes on from there.
const MOST_STEPS = 1_000_000

type EventRow = DecidedRow
type Asking = Wishes & { id: EndpointId; tenantId: TenantId }
type Missing = EventRow & { delivery: DeliveryId }
type NewMissed = HandedOver & { event: EventRow }

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
  // Before anything is locked: filters may take a while. What somebody else creates meanwhile is not created twice.
  const absent = await withoutDelivery(tx, part, events)
  const { missing, faults, seen } = await wantedAmong(tx, part, absent, part.tenantId === operationsTenantId)
  const place = await lockPlace(tx, part.endpointId, MOST, now)
  if (place === null) return null
  const { room, allowance } = place
  const most = room.tickets + room.waiting
  const chosen = missing.slice(0, most).map(
    ({ delivery, ...event }, index): NewMissed => ({
      delivery,
      event,
      ticket: index < room.tickets ? randomUUID() : null,
      depth: allowance.ticketed + index,
      at: room.slots?.[index] ?? null,
    }),
  )
  const kept = await keep(tx, chosen)
  const { tenantId, endpointId, replayId } = part
  const common = { tenantId, endpoint: endpointId, replayId, waitingFor: 'REPLAY' } as const
  const ids = await createDeliveries(
    tx,
    kept.map((one) => ({ ...one, ...common })),
    now,
  )
  const created = kept.filter(({ delivery }) => ids.has(delivery))
  await stampMatched(tx, await unmatched(tx, created))
  await admitReplayed(tx, tickets, part.endpointId, place, created, now)
  const crowded = missing.length > most
  const all = seen.length === absent.length
  const position = (crowded ? chosen.at(-1)?.event.id : (all ? events : seen).at(-1)?.id) ?? part.position
  const left = crowded || !all || events.length === MOST_EVENTS
  // Of what is gone through again, then.
  await noteFaults(
    tx,
    faults.filter(({ event }) => event.id <= position),
    now,
  )
  return { redelivered: created.length, position, left, crowded }
}

/** Those that have been routed: what has not gets its delivery from there. */
function readEvents(tx: Tx, { tenantId, position, upTo }: Part): Promise<EventRow[]> {
  return tx<EventRow[]>`
    select id, tenant_id as "tenantId", type, version, channels from postrider.events event
    where tenant_id = ${tenantId} and id > ${position} and id <= ${upTo} and not is_test and routed_at is not null
      and not exists (select from postrider.lane_outbox where event_id = event.id)
    order by id limit ${MOST_EVENTS}`
}

/**
 * The events that the endpoint wants as it is now, decided as when they are routed: among those that it has come to, which are
 * no more than there may be room for. Each step would read and decide about the others again.
 */
async function wantedAmong(
  tx: Tx,
  { endpointId }: Part,
  events: readonly Missing[],
  operations: boolean,
): Promise<{ missing: Missing[]; faults: FilterFault<Missing, Asking>[]; seen: Missing[] }> {
  const endpoints = await tx<Asking[]>`
    select id, tenant_id as "tenantId", event_types as "eventTypes", channels, versions, filter
    from postrider.endpoints where id = ${endpointId}`
  const missing: Missing[] = []
  const faults: FilterFault<Missing, Asking>[] = []
  const seen: Missing[] = []
  let steps = 0
  const asked = { candidates: () => endpoints, operations: () => operations, putOff: () => steps > MOST_STEPS }
  for (let at = 0; at < events.length; at += MOST) {
    for await (const decided of decideEach(tx, events.slice(at, at + MOST), asked)) {
      if (decided.putOff || missing.length > MOST) return { missing, faults, seen }
      steps += decided.steps
      seen.push(decided.event)
      faults.push(...decided.faults)
      if (decided.matching.length > 0) missing.push(decided.event)
    }
  }
  return { missing, faults, seen }
}

async function withoutDelivery(tx: Tx, { endpointId }: Part, events: readonly EventRow[]): Promise<Missing[]> {
  if (events.length === 0) return []
  const derived = events.map((event) => ({ ...event, delivery: deliveryIdOf(event.id, endpointId) }))
  const known = await knownDeliveries(
    tx,
    derived.map(({ delivery }) => delivery),
  )
  const missing = derived.filter(({ delivery }) => !known.has(delivery))
  const able = await sendable(
    tx,
    missing.map(({ id }) => id),
  )
  return missing.filter(({ id }) => able.has(id))
}

/**
 * Those whose payload is not being removed at this moment, and cannot be before the commit: whoever wants to then removes these
 * deliveries as well. The endpoint is locked, so it must not wait here for who waits for that.
 */
async function keep(tx: Tx, chosen: readonly NewMissed[]): Promise<NewMissed[]> {
  if (chosen.length === 0) return []
  const ids = chosen.map(({ event }) => event.id)
  const { lowest, highest } = boundsOf(ids)
  const rows = await tx<{ id: EventId }[]>`
    select id from postrider.event_payloads
    where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest} for key share skip locked`
  const kept = new Set(rows.map(({ id }) => id))
  return chosen.filter(({ event }) => kept.has(event.id))
}

/**
 * Those that nobody had wanted, and that nobody holds: whoever expunges an event locks it before this endpoint, and whoever routes
 * it again sees to it.
 */
async function unmatched(tx: Tx, created: readonly NewMissed[]): Promise<EventId[]> {
  if (created.length === 0) return []
  const ids = created.map(({ event }) => event.id)
  const { lowest, highest } = boundsOf(ids)
  const rows = await tx<{ id: EventId }[]>`
    select id from postrider.events
    where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest} and matched is false
    order by id for no key update skip locked`
  return rows.map(({ id }) => id)
}
