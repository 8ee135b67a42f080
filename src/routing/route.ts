import { type DeliveryId, deliveryIdOf, type EndpointId, type EventId, newId, type TenantId } from '../../schema/ids.ts'
import type { Ordering } from '../../schema/states.ts'
import type { Wishes } from '../endpoints/decide.ts'
import { laneOf, patternsOf } from '../endpoints/matching.ts'
import { BURST, ORDINARY } from '../events/bursts.ts'
import type { Db, Tx } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { again, Raced } from '../postgres/deadlock.ts'
import { boundsOf } from '../postgres/time-range.ts'
import { together } from '../postgres/together.ts'
import type { Claim, Ticket, Tickets } from '../queue/tickets.ts'
import { createMatches } from './create.ts'
import { type DecidedRow, decideEach, type FilterFault, noteFaults } from './decisions.ts'

/** What an `outbox` ticket says; `failures`: how often its one event could not be routed by our own fault. */
export type OutboxTicket = { events: EventId[]; failures?: number }

export type RouteContext = { db: Db; tickets: Tickets; clock: Clock; operationsTenantId: TenantId }

type EventRow = DecidedRow & { orderingKey: string | null }
/** An endpoint that may want some events. */
export type Candidate = Wishes & { id: EndpointId; tenantId: TenantId; ordering: Ordering; backlog: boolean }
type Match = { delivery: DeliveryId; event: EventRow; endpoint: EndpointId; ordered: boolean }
type Fault = FilterFault<EventRow, Candidate>

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
// Of filters, in all and of one tenant: some 0.5 s and 0.25 s, which 200 endpoints with usual filters need for 500 events.
const MOST_STEPS = 2_000_000
const MOST_STEPS_OF_ONE_TENANT = 1_000_000

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
  const endpoints = await readCandidates(tx, unrouted)
  const { matches, faults, deferred, greedy } = await matchSome(tx, unrouted, endpoints, operationsTenantId)
  const ours = new Set(await endClaims(tx, tickets, claims, unrouted))
  const later = new Set(deferred)
  const events = [...ours].filter((event) => !later.has(event))
  const putOff = deferred.filter((event) => ours.has(event))
  const [greedily, meanwhile] = [true, false].map((is) => putOff.filter(({ tenantId }) => greedy.has(tenantId) === is))
  const now = clock.now()
  const noted = await notedForLanes(tx, events, endpoints)
  const inLanes = new Set(noted.map(({ id }) => id))
  const isFree = ({ event, ordered }: { event: EventRow; ordered: boolean }) =>
    ours.has(event) && !(ordered && inLanes.has(event.id))
  const inBacklog = new Set(endpoints.filter(({ backlog }) => backlog).map(({ id }) => id))
  const { admitted, intoBacklog } = await createMatches(tx, tickets, matches.filter(isFree), inBacklog, now)
  const matched = new Set(matches.map(({ event }) => event))
  await together([
    stampEvents(tx, events, matched, now),
    tickets.enqueue(tx, 'outbox', [...laterTickets(meanwhile, ORDINARY, now), ...laterTickets(greedily, BURST, now)]),
  ])
  const ordered = ({ event, endpoint }: Fault) => laneOf(endpoint.ordering, event.orderingKey) !== null
  await noteFaults(
    tx,
    faults.filter((fault) => isFree({ event: fault.event, ordered: ordered(fault) })),
    now,
  )
  const tenants = [...new Set(noted.map(({ tenantId }) => tenantId))]
  return { admitted, backlogBegan: intoBacklog.length > 0, ordered: tenants, deferred: putOff.length }
}

function laterTickets(events: readonly EventRow[] = [], priority: number, now: Date): Ticket[] {
  const tickets: Ticket[] = []
  for (let at = 0; at < events.length; at += MOST_EVENTS_PER_TICKET) {
    const data: OutboxTicket = { events: events.slice(at, at + MOST_EVENTS_PER_TICKET).map(({ id }) => id) }
    tickets.push({ id: newId(now), priority, data })
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
    select id, tenant_id as "tenantId", type, version, channels, ordering_key as "orderingKey" from postrider.events
    where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest} and routed_at is null order by id`
}

/**
 * Those that may want some of these events: by what their types can be asked for with. Read anew each time, never cached: an
 * endpoint created a moment before an event must not miss it.
 */
export async function readCandidates(
  tx: Tx,
  events: readonly Pick<EventRow, 'tenantId' | 'type'>[],
): Promise<Candidate[]> {
  const tenants = [...new Set(events.map((event) => event.tenantId))]
  const patterns = [...new Set(events.flatMap(({ type }) => patternsOf(type)))]
  return tx<Candidate[]>`
    select id, tenant_id as "tenantId", event_types as "eventTypes", channels, versions, filter, ordering, backlog
    from postrider.endpoints
    where tenant_id = any(${tenants as never}::uuid[]) and deleted_at is null
      and (event_types is null or event_types && ${patterns as never}::text[])
    order by id`
}

/** Where some events go: as many of them as one transaction takes, and of each tenant; the others are put off. */
async function matchSome(
  tx: Tx,
  events: readonly EventRow[],
  endpoints: readonly Candidate[],
  operations: TenantId,
): Promise<{ matches: Match[]; faults: Fault[]; deferred: EventRow[]; greedy: Set<TenantId> }> {
  const ofTenant = Map.groupBy(endpoints, (endpoint) => endpoint.tenantId)
  const used = new Map<TenantId, { matches: number; steps: number; full: boolean }>()
  const usedBy = (tenant: TenantId) => used.get(tenant) ?? { matches: 0, steps: 0, full: false }
  const matches: Match[] = []
  const faults: Fault[] = []
  const deferred: EventRow[] = []
  let steps = 0
  const decided = decideEach(tx, events, {
    candidates: ({ tenantId }) => ofTenant.get(tenantId) ?? [],
    operations: ({ tenantId }) => tenantId === operations,
    // Where there is no room any more no filter is evaluated in vain.
    putOff: ({ tenantId }) => {
      const own = usedBy(tenantId)
      return own.full || own.steps > MOST_STEPS_OF_ONE_TENANT || steps > MOST_STEPS
    },
  })
  for await (const { event, matching, faults: found, steps: taken, putOff } of decided) {
    const { tenantId, orderingKey } = event
    const before = usedBy(tenantId)
    const own = before.matches + matching.length
    steps += taken
    const tooMany = own > MOST_OF_ONE_TENANT || matches.length + matching.length > MOST_DELIVERIES
    const isPutOff = putOff || (tooMany && matching.length > 0 && matches.length > 0)
    const count = isPutOff ? before.matches : own
    used.set(tenantId, { matches: count, steps: before.steps + taken, full: before.full || isPutOff })
    if (isPutOff) {
      deferred.push(event)
      continue
    }
    faults.push(...found)
    for (const { id, ordering } of matching) {
      const ordered = laneOf(ordering, orderingKey) !== null
      matches.push({ delivery: deliveryIdOf(event.id, id), event, endpoint: id, ordered })
    }
  }
  // Those whose own filters or deliveries are the reason. Who only had to wait for somebody else's filters loses no place.
  const isWaiting = (tenant: TenantId) => steps > MOST_STEPS && usedBy(tenant).steps <= MOST_STEPS_OF_ONE_TENANT
  const greedy = new Set(deferred.map(({ tenantId }) => tenantId).filter((tenant) => !isWaiting(tenant)))
  return { matches, faults, deferred, greedy }
}

/**
 * The events among these that were noted for lanes when they were published, and have not been put there yet. What was
 * published before its tenant had an ordered endpoint goes in no lane: its place there would come too late.
 */
async function notedForLanes(tx: Tx, events: readonly EventRow[], endpoints: readonly Candidate[]) {
  const tenants = new Set(endpoints.filter(({ ordering }) => ordering !== 'NONE').map(({ tenantId }) => tenantId))
  const ids = events.filter(({ tenantId }) => tenants.has(tenantId)).map(({ id }) => id)
  if (ids.length === 0) return []
  return tx<{ id: EventId; tenantId: TenantId }[]>`
    select event_id as id, tenant_id as "tenantId" from postrider.lane_outbox where event_id = any(${ids as never}::uuid[])`
}

/** Marks events as routed, those that nobody wants as well: every event is kept and explained. */
async function stampEvents(
  tx: Tx,
  events: readonly EventRow[],
  matched: ReadonlySet<EventRow>,
  now: Date,
): Promise<void> {
  if (events.length === 0) return
  const ids = events.map(({ id }) => id)
  // Only that is written: a change of it has all indexes written as well, for one of them is of these events alone.
  const unmatched = events.filter((event) => !matched.has(event)).map(({ id }) => id)
  const { lowest, highest } = boundsOf(ids)
  const stamped = await tx`
    update postrider.events set
      routed_at = ${now.toISOString()}, parked_at = null,
      matched = case when id = any(${unmatched as never}::uuid[]) and matched is null then false else matched end
    where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest} and routed_at is null`
  if (stamped.count < events.length)
    throw new Raced('Another ticket had the same event, or it was expunged: what was decided for it must not stay')
}
