import { randomUUID } from 'node:crypto'
import { type DeliveryId, deliveryIdOf, type EventId } from '../../schema/ids.ts'
import { createDeliveries, knownDeliveries } from '../deliveries/create.ts'
import type { Wishes } from '../endpoints/decide.ts'
import type { Tx } from '../postgres/client.ts'
import { boundsOf } from '../postgres/time-range.ts'
import { type DecidedRow, decideEach } from '../routing/decisions.ts'
import { admitReplayed, type HandedOver, lockPlace, type Part, type Step, type StepContext, sendable } from './step.ts'

const MOST_EVENTS = 500
const MOST = 50
// Of a filter: some 0.25 s. The next step goes on from there.
const MOST_STEPS = 1_000_000

type EventRow = DecidedRow
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
  // Before anything is locked: filters may take a while.
  const { wanted, seen } = await wantedAmong(tx, part, events, part.tenantId === operationsTenantId)
  const place = await lockPlace(tx, part.endpointId, MOST, now)
  if (place === null) return null
  const missing = await withoutDelivery(tx, part, wanted)
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
  await admitReplayed(tx, tickets, part.endpointId, place, created, now)
  const crowded = missing.length > most
  const position = (crowded ? chosen.at(-1)?.event.id : seen.at(-1)?.id) ?? part.position
  const left = crowded || events.length === MOST_EVENTS || seen.length < events.length
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

/** The events that the endpoint wants as it is now, decided as when they are routed: among those that it has come to. */
async function wantedAmong(
  tx: Tx,
  { endpointId }: Part,
  events: readonly EventRow[],
  operations: boolean,
): Promise<{ wanted: EventRow[]; seen: EventRow[] }> {
  const endpoints = await tx<Wishes[]>`
    select event_types as "eventTypes", channels, versions, filter from postrider.endpoints where id = ${endpointId}`
  const wanted: EventRow[] = []
  const seen: EventRow[] = []
  let steps = 0
  const asked = { candidates: () => endpoints, operations: () => operations, putOff: () => steps > MOST_STEPS }
  for await (const decided of decideEach(tx, events, asked)) {
    if (decided.putOff) break
    steps += decided.steps
    seen.push(decided.event)
    if (decided.matching.length > 0) wanted.push(decided.event)
  }
  return { wanted, seen }
}

async function withoutDelivery(tx: Tx, { endpointId }: Part, wanted: readonly EventRow[]): Promise<Missing[]> {
  if (wanted.length === 0) return []
  const derived = wanted.map((event) => ({ ...event, delivery: deliveryIdOf(event.id, endpointId) }))
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
