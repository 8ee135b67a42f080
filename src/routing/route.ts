import { randomUUID } from 'node:crypto'
import { type DeliveryId, deliveryIdOf, type EndpointId, type EventId, newId, type TenantId } from '../../schema/ids.ts'
import type { Ordering } from '../../schema/states.ts'
import { type Allowance, admit } from '../deliveries/admission.ts'
import {
  deliverTicket,
  joinBacklogs,
  lockAllowances,
  saveSlots,
  setBacklog,
  type Ticketed,
} from '../deliveries/admit.ts'
import { createDeliveries, type NewDelivery } from '../deliveries/create.ts'
import { laneOf, patternsOf, wants } from '../endpoints/matching.ts'
import { BURST } from '../events/bursts.ts'
import type { Db, Tx } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { again, Raced } from '../postgres/deadlock.ts'
import { boundsOf } from '../postgres/time-range.ts'
import { together } from '../postgres/together.ts'
import type { Claim, Ticket, Tickets } from '../queue/tickets.ts'

/** What an `outbox` ticket says; `failures`: how often its one event could not be routed by our own fault. */
export type OutboxTicket = { events: EventId[]; failures?: number }

export type RouteContext = { db: Db; tickets: Tickets; clock: Clock; operationsTenantId: TenantId }

type EventRow = { id: EventId; tenantId: TenantId; type: string; orderingKey: string | null }
type EndpointRow = {
  id: EndpointId
  tenantId: TenantId
  eventTypes: string[] | null
  ordering: Ordering
  backlog: boolean
}
type Match = { delivery: DeliveryId; event: EventRow; endpoint: EndpointId; ordered: boolean }
type Admitted = NewDelivery & { depth: number; at: Date | null }

export type RouteReport = {
  admitted: number
  backlogBegan: boolean
  /** The tenants that have events for their lanes. */
  ordered: TenantId[]
  /** How many events were put off: they go when nobody else's wait. */
  deferred: number
}

// That one transaction creates, and of one tenant, or one event if it alone brings more. A million took 20 s, 1 GB, and every
// lock all the while; and 200,000 of one tenant, 5,000 at a time, kept everybody else's events waiting for 7 s.
const MOST_DELIVERIES = 5000
const MOST_OF_ONE_TENANT = 2500
const MOST_EVENTS_PER_TICKET = 500

/**
 * Decides where some events go and creates their deliveries, those that may go at once with tickets. Where that is very many
 * of one tenant, the rest of its events gets a ticket that goes after everybody else's.
 */
export function route(context: RouteContext, claims: readonly Claim<OutboxTicket>[]): Promise<RouteReport> {
  return again(() => context.db.transaction((tx) => routeIn(tx, context, claims)))
}

async function routeIn(
  tx: Tx,
  { tickets, clock, operationsTenantId }: RouteContext,
  claims: readonly Claim<OutboxTicket>[],
): Promise<RouteReport> {
  const unrouted = await readUnroutedEvents(
    tx,
    claims.flatMap(({ data }) => data.events),
  )
  const endpoints = await readEndpoints(tx, unrouted)
  const { matches, deferred } = matchSome(unrouted, endpoints, operationsTenantId)
  const ours = new Set(await endClaims(tx, tickets, claims, unrouted))
  const later = new Set(deferred)
  const events = [...ours].filter((event) => !later.has(event))
  const putOff = deferred.filter((event) => ours.has(event)).map(({ id }) => id)
  const now = clock.now()
  const noted = await notedForLanes(tx, events, endpoints)
  const inLanes = new Set(noted.map(({ id }) => id))
  const free = matches.filter(({ event, ordered }) => ours.has(event) && !(ordered && inLanes.has(event.id)))
  const inBacklog = new Set(endpoints.filter(({ backlog }) => backlog).map(({ id }) => id))
  const { deliveries, intoBacklog, allowances } = await admitAll(tx, free, inBacklog, now)
  const created = await createDeliveries(tx, deliveries, now)
  const admitted = deliveries.filter(({ delivery, ticket }) => ticket !== null && created.has(delivery))
  await together([
    tickets.enqueue(
      tx,
      'deliver',
      admitted.map((delivery) => deliverTicket(ticketed(delivery))),
    ),
    saveSlots(tx, allowances, admitted),
    setBacklog(tx, intoBacklog, true),
    stampEvents(tx, events, now),
    tickets.enqueue(tx, 'outbox', laterTickets(putOff, now)),
  ])
  const tenants = [...new Set(noted.map(({ tenantId }) => tenantId))]
  return { admitted: admitted.length, backlogBegan: intoBacklog.length > 0, ordered: tenants, deferred: putOff.length }
}

function laterTickets(events: readonly EventId[], now: Date): Ticket[] {
  const tickets: Ticket[] = []
  for (let at = 0; at < events.length; at += MOST_EVENTS_PER_TICKET) {
    const data: OutboxTicket = { events: events.slice(at, at + MOST_EVENTS_PER_TICKET) }
    tickets.push({ id: newId(now), priority: BURST, data })
  }
  return tickets
}

/** Ends the claims and returns the events of those that were still ours. */
async function endClaims(
  tx: Tx,
  tickets: Tickets,
  claims: readonly Claim<OutboxTicket>[],
  events: readonly EventRow[],
): Promise<EventRow[]> {
  const finished = await tickets.finish(tx, 'outbox', claims)
  const ours = new Set(claims.filter(({ id }) => finished.has(id)).flatMap(({ data }) => data.events))
  return events.filter(({ id }) => ours.has(id))
}

async function readUnroutedEvents(tx: Tx, ids: readonly EventId[]): Promise<EventRow[]> {
  if (ids.length === 0) return []
  const { lowest, highest } = boundsOf(ids)
  return tx<EventRow[]>`
    select id, tenant_id as "tenantId", type, ordering_key as "orderingKey" from postrider.events
    where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest} and routed_at is null order by id`
}

/**
 * Those that may want some of these events: by what their types can be asked for with. Read anew each time, never cached: an
 * endpoint created a moment before an event must not miss it.
 */
async function readEndpoints(tx: Tx, events: readonly EventRow[]): Promise<EndpointRow[]> {
  const tenants = [...new Set(events.map((event) => event.tenantId))]
  const patterns = [...new Set(events.flatMap(({ type }) => patternsOf(type)))]
  return tx<EndpointRow[]>`
    select id, tenant_id as "tenantId", event_types as "eventTypes", ordering, backlog from postrider.endpoints
    where tenant_id = any(${tenants as never}::uuid[]) and deleted_at is null
      and (event_types is null or event_types && ${patterns as never}::text[])`
}

/** Where some events go: as many of them as one transaction takes, and of each tenant; the others are put off. */
function matchSome(
  events: readonly EventRow[],
  endpoints: readonly EndpointRow[],
  operations: TenantId,
): { matches: Match[]; deferred: EventRow[] } {
  const ofTenant = Map.groupBy(endpoints, (endpoint) => endpoint.tenantId)
  const wanting = new Map<string, EndpointRow[]>()
  const used = new Map<TenantId, number>()
  const matches: Match[] = []
  const deferred: EventRow[] = []
  for (const event of events) {
    const { tenantId, type, orderingKey } = event
    const key = `${tenantId} ${type}`
    const matching =
      wanting.get(key) ??
      (ofTenant.get(tenantId) ?? []).filter(({ eventTypes }) => wants(eventTypes, type, tenantId === operations))
    wanting.set(key, matching)
    const own = (used.get(tenantId) ?? 0) + matching.length
    const tooMany = own > MOST_OF_ONE_TENANT || matches.length + matching.length > MOST_DELIVERIES
    if (tooMany && matching.length > 0 && matches.length > 0) {
      deferred.push(event)
      continue
    }
    used.set(tenantId, own)
    for (const { id, ordering } of matching) {
      const ordered = laneOf(ordering, orderingKey) !== null
      matches.push({ delivery: deliveryIdOf(event.id, id), event, endpoint: id, ordered })
    }
  }
  return { matches, deferred }
}

/**
 * The events among these that were noted for lanes when they were published, and have not been put there yet. What was
 * published before its tenant had an ordered endpoint goes in no lane: its place there would come too late.
 */
async function notedForLanes(tx: Tx, events: readonly EventRow[], endpoints: readonly EndpointRow[]) {
  const tenants = new Set(endpoints.filter(({ ordering }) => ordering !== 'NONE').map(({ tenantId }) => tenantId))
  const ids = events.filter(({ tenantId }) => tenants.has(tenantId)).map(({ id }) => id)
  if (ids.length === 0) return []
  return tx<{ id: EventId; tenantId: TenantId }[]>`
    select event_id as id, tenant_id as "tenantId" from postrider.lane_outbox where event_id = any(${ids as never}::uuid[])`
}

async function admitAll(
  tx: Tx,
  matches: readonly Match[],
  inBacklog: ReadonlySet<EndpointId>,
  now: Date,
): Promise<{ deliveries: Admitted[]; intoBacklog: EndpointId[]; allowances: Map<EndpointId, Allowance> }> {
  const byEndpoint = Map.groupBy(matches, (one) => one.endpoint)
  const wanted = new Set(byEndpoint.keys())
  const joined = await joinBacklogs(tx, [...wanted.intersection(inBacklog)])
  const allowances = await lockAllowances(tx, [...wanted.difference(joined)], now)
  const deliveries: Admitted[] = []
  const intoBacklog: EndpointId[] = []
  for (const [endpoint, arriving] of byEndpoint) {
    if (joined.has(endpoint)) {
      deliveries.push(...arriving.map((one) => ({ ...newDelivery(one, null), depth: 0, at: null })))
      continue
    }
    const allowance = allowances.get(endpoint)
    // Deleted since it was read: nothing is created for it.
    if (!allowance || allowance.deleted) continue
    const { admitted, backlog, slots } = admit(allowance, arriving.length, now)
    for (const [index, one] of arriving.entries()) {
      const ticket = index < admitted ? randomUUID() : null
      deliveries.push({ ...newDelivery(one, ticket), depth: allowance.ticketed + index, at: slots?.[index] ?? null })
    }
    if (backlog && !allowance.backlog) intoBacklog.push(endpoint)
  }
  return { deliveries, intoBacklog, allowances }
}

function newDelivery({ delivery, event, endpoint }: Match, ticket: string | null): NewDelivery {
  return { delivery, tenantId: event.tenantId, event, endpoint, ticket, waitingFor: 'ALLOWANCE' }
}

function ticketed({ delivery, endpoint, ticket, depth, at }: Admitted): Ticketed {
  return { delivery, endpoint, ticket: ticket as string, depth, firstAttempt: true, at }
}

/** Marks events as routed, those that nobody wants as well: every event is kept and explained. */
async function stampEvents(tx: Tx, events: readonly EventRow[], now: Date): Promise<void> {
  if (events.length === 0) return
  const ids = events.map(({ id }) => id)
  const { lowest, highest } = boundsOf(ids)
  const stamped = await tx`
    update postrider.events set routed_at = ${now.toISOString()}, parked_at = null
    where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest} and routed_at is null`
  if (stamped.count < events.length)
    throw new Raced('Another ticket had the same event, or it was expunged: what was decided for it must not stay')
}
