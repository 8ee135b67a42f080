import type { EndpointId, EventId, ReplayId, TenantId } from '../../schema/ids.ts'
import type { Allowance } from '../deliveries/admission.ts'
import {
  deliverTicket,
  lockAllowances,
  newestId,
  saveSlots,
  setBacklog,
  type Ticketed,
  topUp,
} from '../deliveries/admit.ts'
import type { Db, Tx } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { boundsOf } from '../postgres/time-range.ts'
import { together } from '../postgres/together.ts'
import type { Tickets } from '../queue/tickets.ts'
import { type Replayed, type ReplayRoom, replayRoom } from './room.ts'

/** What steps need. */
export type StepContext = { db: Db; tickets: Tickets; clock: Clock; operationsTenantId: TenantId }

/** A replay and the part of it whose turn it is. */
export type Part = {
  replayId: ReplayId
  tenantId: TenantId
  endpointId: EndpointId
  position: string
  upTo: string
  createdAt: Date
}

/**
 * What a step did. `redelivered` is negative where something was taken back. `left`: there is more at this endpoint, and
 * `crowded`: there was no room for it.
 */
export type Step = { redelivered: number; position: string; left: boolean; crowded: boolean }

/** One delivery that is handed over: its ticket, or null where it waits in its line. */
export type HandedOver = Pick<Ticketed, 'delivery' | 'depth' | 'at'> & { ticket: string | null }

// As many as an endpoint may have under way at the most: to know of more is of no use.
const MOST_PLACES = 1000

export type Place = { room: ReplayRoom; allowance: Allowance }

/** Locks the endpoint and says what it has room for; null when it was deleted. */
export async function lockPlace(tx: Tx, endpoint: EndpointId, most: number, now: Date): Promise<Place | null> {
  // The second goes over the wire behind the lock of the first, and sees what those who held it before have done.
  const [allowances, own] = await together([lockAllowances(tx, [endpoint], now), countReplayed(tx, endpoint, now)])
  const allowance = allowances.get(endpoint)
  if (!allowance || allowance.deleted) return null
  return { room: replayRoom(allowance, own, most, now), allowance }
}

async function countReplayed(tx: Tx, endpoint: EndpointId, now: Date): Promise<Replayed> {
  const [own] = await tx<[Replayed]>`
    select (
      select count(*)::int from postrider.deliveries
      where endpoint_id = ${endpoint} and ticket_id is not null and replay_id is not null and id <= ${newestId(now)}
    ) as ticketed, (
      select count(*)::int from (
        select from postrider.deliveries where endpoint_id = ${endpoint} and waiting_for = 'REPLAY' limit ${MOST_PLACES}
      ) waiting
    ) as waiting`
  return own
}

/** The rows are written: gives those with tickets their tickets, and sees to it that the others are found. Under the lock of `lockPlace`. */
export async function admitReplayed(
  tx: Tx,
  tickets: Tickets,
  endpoint: EndpointId,
  { allowance }: Place,
  handedOver: readonly HandedOver[],
  now: Date,
): Promise<void> {
  const ticketed = handedOver.flatMap(({ ticket, ...one }) =>
    ticket === null ? [] : [{ ...one, endpoint, ticket, firstAttempt: false }],
  )
  const waits = ticketed.length < handedOver.length
  await together([
    tickets.enqueue(tx, 'deliver', ticketed.map(deliverTicket)),
    saveSlots(tx, new Map([[endpoint, allowance]]), ticketed),
    setBacklog(tx, waits ? [endpoint] : [], true),
  ])
  // Its backlog may be over but for its name: then nobody else would look at it before the promoter does.
  if (waits) await topUp(tx, tickets, [endpoint], now)
}

/** The events among these that can be sent again: they are still kept, and are no tests. */
export async function sendable(tx: Tx, events: readonly EventId[]): Promise<Set<EventId>> {
  if (events.length === 0) return new Set()
  const { lowest: low, highest: high } = boundsOf(events)
  const rows = await tx<{ id: EventId }[]>`
    select id from postrider.events join postrider.event_payloads payload using (id)
    where id = any(${events as never}::uuid[]) and id between ${low} and ${high} and payload.id between ${low} and ${high}
      and not is_test`
  return new Set(rows.map(({ id }) => id))
}
