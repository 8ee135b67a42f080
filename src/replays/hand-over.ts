import { randomUUID } from 'node:crypto'
import { and, asc, eq, gt, isNull, lte, ne, type SQL } from 'drizzle-orm'
import { QueryBuilder } from 'drizzle-orm/pg-core'
import type { DeliveryId, EventId } from '../../schema/ids.ts'
import type { DeliveryState } from '../../schema/states.ts'
import { deliveries } from '../../schema/tables/deliveries.ts'
import type { Tx } from '../postgres/client.ts'
import { boundsOf } from '../postgres/time-range.ts'
import { together } from '../postgres/together.ts'
import {
  admitReplayed,
  type HandedOver,
  lockPlace,
  type Part,
  type Place,
  type Step,
  type StepContext,
  sendable,
} from './step.ts'

// One step reads this many, and hands over as many of them as there is room for: mostly ten. With 200, and 5000 looked at, half
// of its time went into reading what the next one reads again.
const MOST = 50
const MOST_LOOKED_AT = 1000
// Whoever settled it may have a clock that is a little ahead.
const CLOCKS_APART_MS = 1000

/** Hands the next deliveries of a part over: what has failed or was cancelled begins anew, what was delivered goes once more. */
export async function handOver(
  { tickets, clock }: StepContext,
  tx: Tx,
  part: Part,
  filter: SQL | undefined,
): Promise<Step | null> {
  const now = clock.now()
  // Read before the endpoint is locked: a filter that hardly matches anything may take its time.
  const horizon = await readHorizon(tx, part)
  const candidates = await readCandidates(tx, part, horizon ?? part.upTo, filter)
  const events = candidates.map(({ eventId }) => eventId)
  // Behind the lock, which an expunge takes after it has removed the payload: either this sees that, or it sees what is sent here.
  const [place, able] = await together([lockPlace(tx, part.endpointId, MOST, now), sendable(tx, events)])
  if (place === null) return null
  const all = candidates.length < MOST
  const end = all ? (horizon ?? part.upTo) : (candidates.at(-1) as Candidate).id
  const { chosen, position, crowded } = chooseWithin(candidates, able, place, { from: part.position, end })
  const redelivered = await reopen(tx, part, chosen, now)
  await admitReplayed(tx, tickets, part.endpointId, place, redelivered, now)
  return { redelivered: redelivered.length, position, left: crowded || !all || horizon !== null, crowded }
}

/** How far one step looks; null: to the end. A filter that matches hardly anything would otherwise read a whole history at once. */
async function readHorizon(tx: Tx, { endpointId, position, upTo }: Part): Promise<DeliveryId | null> {
  const [row] = await tx<{ id: DeliveryId }[]>`
    select id from postrider.deliveries where endpoint_id = ${endpointId} and id > ${position} and id <= ${upTo}
    order by id offset ${MOST_LOOKED_AT} limit 1`
  return row?.id ?? null
}

/** As it was when the filter chose it. */
type Candidate = { id: DeliveryId; eventId: EventId; state: DeliveryState; settledAt: string }
type Chosen = HandedOver & Pick<Candidate, 'state' | 'settledAt'>

async function readCandidates(tx: Tx, part: Part, last: string, filter: SQL | undefined): Promise<Candidate[]> {
  const query = new QueryBuilder()
    .select({
      id: deliveries.id,
      eventId: deliveries.eventId,
      state: deliveries.state,
      settledAt: deliveries.settledAt,
    })
    .from(deliveries)
    .where(
      and(
        eq(deliveries.tenantId, part.tenantId),
        eq(deliveries.endpointId, part.endpointId),
        gt(deliveries.id, part.position as DeliveryId),
        lte(deliveries.id, last as DeliveryId),
        filter,
        ne(deliveries.state, 'PENDING'),
        isNull(deliveries.requestedTrigger),
        // What was settled only after the start is not what was counted then.
        lte(deliveries.settledAt, new Date(part.createdAt.getTime() + CLOCKS_APART_MS)),
      ),
    )
    .orderBy(asc(deliveries.id))
    .limit(MOST)
    .toSQL()
  // Drizzle has the filter, the transaction is the driver's.
  return tx
    .unsafe<(Pick<Candidate, 'id' | 'state'> & { event_id: EventId; settled_at: string })[]>(
      query.sql,
      query.params as never[],
    )
    .then((rows) =>
      rows.map(({ id, event_id, state, settled_at }) => ({ id, eventId: event_id, state, settledAt: settled_at })),
    )
}

/** The oldest for which there is room. What cannot be sent is passed over. */
function chooseWithin(
  candidates: readonly Candidate[],
  able: ReadonlySet<EventId>,
  { room, allowance }: Place,
  { from, end }: { from: string; end: string },
): { chosen: Chosen[]; position: string; crowded: boolean } {
  const chosen: Chosen[] = []
  let position = from
  for (const { id, eventId, state, settledAt } of candidates) {
    if (able.has(eventId)) {
      const index = chosen.length
      if (index === room.tickets + room.waiting) return { chosen, position, crowded: true }
      const ticket = index < room.tickets ? randomUUID() : null
      const at = room.slots?.[index] ?? null
      chosen.push({ delivery: id, state, settledAt, ticket, depth: allowance.ticketed + index, at })
    }
    position = id
  }
  return { chosen, position: end, crowded: false }
}

/**
 * Under the endpoint's lock nobody else changes what is settled and not asked for. What was changed between being chosen and
 * the lock, as by a retry by hand that arrived, may not be what the filter asks for any more: it is left alone.
 */
async function reopen(tx: Tx, part: Part, chosen: readonly Chosen[], now: Date): Promise<HandedOver[]> {
  if (chosen.length === 0) return []
  const ids = chosen.map(({ delivery }) => delivery)
  const { lowest, highest } = boundsOf(ids)
  const column = <T>(pick: (one: Chosen) => T) => chosen.map(pick) as never
  const rows = await tx<{ id: DeliveryId }[]>`
    update postrider.deliveries delivery set
      state = case delivery.state when 'DELIVERED' then delivery.state else 'PENDING' end,
      settled_at = case delivery.state when 'DELIVERED' then delivery.settled_at end,
      scheduled_attempts_made = case delivery.state when 'DELIVERED' then scheduled_attempts_made else 0 end,
      requested_trigger = case delivery.state when 'DELIVERED' then 'REPLAY' end,
      requested_at = case delivery.state when 'DELIVERED' then ${now.toISOString()}::timestamptz end,
      failed_reason = null, next_attempt_at = null, replay_id = ${part.replayId},
      before_replay = case when delivery.state <> 'DELIVERED' then jsonb_build_object(
        'state', delivery.state, 'failedReason', failed_reason, 'settledAt', delivery.settled_at
      ) end,
      ticket_id = chosen.ticket, waiting_for = case when chosen.ticket is null then 'REPLAY' end
    from unnest(
      ${ids as never}::uuid[], ${column(({ ticket }) => ticket)}::uuid[],
      ${column(({ state }) => state)}::text[], ${column(({ settledAt }) => settledAt)}::text[]
    ) as chosen (id, ticket, state, settled_at)
    where delivery.id = chosen.id and delivery.id = any(${ids as never}::uuid[]) and delivery.id between ${lowest} and ${highest}
      and delivery.state = chosen.state and delivery.settled_at = chosen.settled_at::timestamptz and requested_trigger is null
    returning delivery.id`
  const reopened = new Set(rows.map(({ id }) => id))
  return chosen.filter(({ delivery }) => reopened.has(delivery))
}
