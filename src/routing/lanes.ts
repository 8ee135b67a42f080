import {
  type DeliveryId,
  deliveryIdOf,
  type EndpointId,
  type EventId,
  highestIdAt,
  lowestIdAt,
  type TenantId,
  timeOf,
} from '../../schema/ids.ts'
import type { Ordering } from '../../schema/states.ts'
import { admitDue, boundsOf, lockAllowances } from '../deliveries/admit.ts'
import { type LaneState, lockLanes, saveLanes } from '../deliveries/lanes.ts'
import { laneOf, wants } from '../endpoints/matching.ts'
import type { Db, Sql, Tx } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { again } from '../postgres/deadlock.ts'
import type { Tickets } from '../queue/tickets.ts'

type EventRow = { id: EventId; type: string; orderingKey: string | null }
type EndpointRow = { id: EndpointId; eventTypes: string[] | null; ordering: Ordering }
type Match = { delivery: DeliveryId; event: EventRow; endpoint: EndpointId; lane: string }

export type LanesContext = { db: Db; tickets: Tickets; clock: Clock; operationsTenantId: TenantId }

const MOST_EVENTS = 500

/**
 * Puts some events of a tenant into the lanes of its ordered endpoints. One process at a time, and always all of them that are
 * there, in the order in which they were published: an event that was acknowledged before another was published is there when
 * that one is, and before it, whichever outbox ticket is claimed first. `more`: there are others, or another process is at it.
 */
export function routeIntoLanes(context: LanesContext, tenant: TenantId): Promise<{ admitted: number; more: boolean }> {
  return again(() => context.db.transaction((tx) => routeSome(tx, context, tenant)))
}

/** The tenants that have events noted for lanes: some of them. */
export async function tenantsWithLanes(sql: Sql): Promise<TenantId[]> {
  const rows = await sql<{ id: TenantId }[]>`select distinct tenant_id as id from postrider.lane_outbox limit 1000`
  return rows.map(({ id }) => id)
}

async function routeSome(
  tx: Tx,
  { tickets, clock, operationsTenantId }: LanesContext,
  tenant: TenantId,
): Promise<{ admitted: number; more: boolean }> {
  const turn = await tx`select from postrider.tenants where id = ${tenant} for no key update skip locked`
  if (turn.length === 0) return { admitted: 0, more: true }
  // A statement of its own: it sees what those who had their turn before have done.
  const queued = await tx<{ id: EventId }[]>`
    select event_id as id from postrider.lane_outbox where tenant_id = ${tenant} order by position limit ${MOST_EVENTS}`
  if (queued.length === 0) return { admitted: 0, more: false }
  const ids = queued.map(({ id }) => id)
  const now = clock.now()
  const events = await readEvents(tx, ids)
  const endpoints = await readOrderedEndpoints(tx, tenant)
  const allowances = await lockAllowances(
    tx,
    endpoints.map(({ id }) => id),
    now,
  )
  const living = endpoints.filter(({ id }) => allowances.get(id)?.deleted === false)
  const matches = await withoutDelivery(tx, matchLanes(events, living, tenant === operationsTenantId))
  const heads = await enqueue(tx, tenant, matches, now)
  const admitted = await admitDue(tx, tickets, heads, now)
  await tx`delete from postrider.lane_outbox where event_id = any(${ids as never}::uuid[])`
  return { admitted, more: queued.length === MOST_EVENTS }
}

async function readEvents(tx: Tx, ids: readonly EventId[]): Promise<EventRow[]> {
  const times = ids.map(timeOf)
  const rows = await tx<EventRow[]>`
    select id, type, ordering_key as "orderingKey" from postrider.events
    where id = any(${ids as never}::uuid[])
      and id between ${lowestIdAt(Math.min(...times))} and ${highestIdAt(Math.max(...times))}`
  const byId = new Map(rows.map((row) => [row.id, row]))
  return ids.flatMap((id) => byId.get(id) ?? [])
}

function readOrderedEndpoints(tx: Tx, tenant: TenantId): Promise<EndpointRow[]> {
  return tx<EndpointRow[]>`
    select id, event_types as "eventTypes", ordering from postrider.endpoints
    where tenant_id = ${tenant} and ordering <> 'NONE' and deleted_at is null`
}

function matchLanes(events: readonly EventRow[], endpoints: readonly EndpointRow[], operations: boolean): Match[] {
  return events.flatMap((event) =>
    endpoints.flatMap(({ id, eventTypes, ordering }) => {
      const lane = laneOf(ordering, event.orderingKey)
      if (lane === null || !wants(eventTypes, event.type, operations)) return []
      return [{ delivery: deliveryIdOf(event.id, id), event, endpoint: id, lane }]
    }),
  )
}

async function withoutDelivery(tx: Tx, matches: readonly Match[]): Promise<Match[]> {
  if (matches.length === 0) return []
  const ids = matches.map(({ delivery }) => delivery)
  const { lowest, highest } = boundsOf(ids)
  const rows = await tx<{ id: DeliveryId }[]>`
    select id from postrider.deliveries where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest}`
  const known = new Set(rows.map(({ id }) => id))
  return matches.filter(({ delivery }) => !known.has(delivery))
}

/** Appends deliveries to their lanes; returns those whose turn it is at once. */
async function enqueue(tx: Tx, tenant: TenantId, matches: readonly Match[], now: Date) {
  const key = ({ endpoint, lane }: { endpoint: EndpointId; lane: string }) => `${endpoint} ${lane}`
  const wanted = new Map(matches.map((match) => [key(match), { endpoint: match.endpoint, lane: match.lane }]))
  const lanes = new Map((await lockLanes(tx, tenant, [...wanted.values()])).map((lane) => [key(lane), { ...lane }]))
  const appended = matches.map((match) => {
    const lane = lanes.get(key(match)) as LaneState
    lane.lastSequence++
    const first = lane.head === null
    if (first) lane.head = match.delivery
    return { ...match, sequence: lane.lastSequence, first }
  })
  if (appended.length === 0) return []
  const column = <T>(pick: (one: (typeof appended)[number]) => T) => appended.map(pick) as never
  await tx`
    insert into postrider.deliveries (id, tenant_id, event_id, endpoint_id, event_type, lane, sequence, waiting_for, created_at)
    select id, ${tenant}, event_id, endpoint_id, event_type, lane, sequence, waiting_for, ${now.toISOString()}
    from unnest(
      ${column(({ delivery }) => delivery)}::uuid[], ${column(({ event }) => event.id)}::uuid[],
      ${column(({ endpoint }) => endpoint)}::uuid[], ${column(({ event }) => event.type)}::text[],
      ${column(({ lane }) => lane)}::text[], ${column(({ sequence }) => sequence)}::bigint[],
      ${column(({ first }) => (first ? 'ALLOWANCE' : 'ORDER'))}::text[]
    ) as appended (id, event_id, endpoint_id, event_type, lane, sequence, waiting_for)`
  await saveLanes(tx, [...lanes.values()], now)
  return appended.flatMap(({ delivery, endpoint, first }) =>
    first ? [{ id: delivery, endpoint, firstAttempt: true }] : [],
  )
}
