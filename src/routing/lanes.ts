import { type DeliveryId, deliveryIdOf, type EndpointId, type EventId, type TenantId } from '../../schema/ids.ts'
import type { Ordering } from '../../schema/states.ts'
import { admitDue, lockAllowances } from '../deliveries/admit.ts'
import { createDeliveries, knownDeliveries } from '../deliveries/create.ts'
import { type LaneState, lockLanes, saveLanes } from '../deliveries/lanes.ts'
import type { Wishes } from '../endpoints/decide.ts'
import { laneOf } from '../endpoints/matching.ts'
import type { Db, Sql, Tx } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { DAY_MS } from '../postgres/days.ts'
import { again, Raced } from '../postgres/deadlock.ts'
import { boundsOf } from '../postgres/time-range.ts'
import type { Tickets } from '../queue/tickets.ts'
import { type DecidedRow, decideEach, type FilterFault, noteFaults } from './decisions.ts'
import { stampMatched } from './matched.ts'

type EventRow = DecidedRow & { orderingKey: string | null }
type EndpointRow = Wishes & { id: EndpointId; tenantId: TenantId; ordering: Ordering }
type Match = { delivery: DeliveryId; event: EventRow; endpoint: EndpointId; lane: string | null }
type InLane = Match & { lane: string }

export type LanesContext = { db: Db; tickets: Tickets; clock: Clock; operationsTenantId: TenantId }

const MOST_EVENTS = 500
// That one transaction creates, or one event if it alone brings more: 500 events at 200 endpoints took 16 s, and everybody waited.
const MOST_DELIVERIES = 2000
// Of filters: some 0.25 s.
const MOST_STEPS = 1_000_000

/**
 * Puts some events of a tenant into the lanes of its ordered endpoints. One process at a time, and always all of them that are
 * there, in the order in which they were published: an event that was acknowledged before another was published is there when
 * that one is, and before it, whichever outbox ticket is claimed first. `more`: there are others, or another process is at it.
 */
export function routeIntoLanes(
  context: LanesContext,
  tenant: TenantId,
  most = MOST_EVENTS,
): Promise<{ admitted: number; more: boolean }> {
  return again(() => context.db.transaction((tx) => routeSome(tx, context, tenant, most)))
}

/** How many events of a tenant are noted for lanes; no more are counted than one transaction takes. */
export async function countForLanes(sql: Sql, tenant: TenantId): Promise<number> {
  const [row] = await sql<[{ count: number }]>`
    select count(*)::int from (select from postrider.lane_outbox where tenant_id = ${tenant} limit ${MOST_EVENTS}) noted`
  return row.count
}

/** Lets all others of a tenant go before the first of its events that are noted for lanes, and returns that one. */
export async function putLast(sql: Sql, tenant: TenantId): Promise<EventId | null> {
  const [row] = await sql<{ id: EventId }[]>`
    update postrider.lane_outbox set position = default
    where event_id = (select event_id from postrider.lane_outbox where tenant_id = ${tenant} order by position limit 1)
    returning event_id as id`
  return row?.id ?? null
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
  most: number,
): Promise<{ admitted: number; more: boolean }> {
  const turn = await tx`select from postrider.tenants where id = ${tenant} for no key update skip locked`
  if (turn.length === 0) return { admitted: 0, more: true }
  // A statement of its own: it sees what those who had their turn before have done.
  const queued = await tx<{ id: EventId }[]>`
    select event_id as id from postrider.lane_outbox where tenant_id = ${tenant} order by position limit ${most}`
  if (queued.length === 0) return { admitted: 0, more: false }
  const ids = queued.map(({ id }) => id)
  const now = clock.now()
  const events = await readEvents(tx, ids)
  const endpoints = await readOrderedEndpoints(tx, tenant, now)
  const { done, matches, faults } = await matchLanes(tx, events, endpoints, tenant === operationsTenantId)
  const allowances = await lockAllowances(tx, [...new Set(matches.map(({ endpoint }) => endpoint))], now)
  const living = matches.filter(({ endpoint }) => allowances.get(endpoint)?.deleted === false)
  const known = await knownDeliveries(
    tx,
    living.map(({ delivery }) => delivery),
  )
  const absent = living.filter(({ delivery }) => !known.has(delivery))
  const inLanes = absent.filter(isInLane)
  const heads = await enqueue(tx, tenant, inLanes, now)
  const free = await createFree(
    tx,
    tenant,
    absent.filter((match) => !isInLane(match)),
    now,
  )
  const admitted = await admitDue(tx, tickets, [...heads, ...free], now)
  const over = done === events.length ? ids : events.slice(0, done).map(({ id }) => id)
  await tx`delete from postrider.lane_outbox where event_id = any(${over as never}::uuid[])`
  await stampMatched(tx, [...new Set(living.map(({ event }) => event.id))])
  await noteFaults(tx, faults, now)
  return { admitted, more: queued.length === most || over.length < ids.length }
}

const isInLane = (match: Match): match is InLane => match.lane !== null

async function readEvents(tx: Tx, ids: readonly EventId[]): Promise<EventRow[]> {
  const { lowest, highest } = boundsOf(ids)
  const rows = await tx<EventRow[]>`
    select id, tenant_id as "tenantId", type, version, channels, ordering_key as "orderingKey" from postrider.events
    where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest}`
  const byId = new Map(rows.map((row) => [row.id, row]))
  return ids.flatMap((id) => byId.get(id) ?? [])
}

/**
 * With those that were ordered a day ago: events may have been left to a lane that they do not have any more. It takes seconds,
 * or as long as its tenant's lanes could not be read.
 */
function readOrderedEndpoints(tx: Tx, tenant: TenantId, now: Date): Promise<EndpointRow[]> {
  return tx<EndpointRow[]>`
    select id, tenant_id as "tenantId", event_types as "eventTypes", channels, versions, filter, ordering
    from postrider.endpoints
    where tenant_id = ${tenant} and deleted_at is null
      and (ordering <> 'NONE' or ordering_changed_at > ${new Date(now.getTime() - DAY_MS).toISOString()})
    order by id`
}

/** Where the first of some events go, as many of them as one transaction takes: `done` says how many. */
async function matchLanes(
  tx: Tx,
  events: readonly EventRow[],
  endpoints: readonly EndpointRow[],
  operations: boolean,
): Promise<{ done: number; matches: Match[]; faults: FilterFault<EventRow, EndpointRow>[] }> {
  const matches: Match[] = []
  const faults: FilterFault<EventRow, EndpointRow>[] = []
  let done = 0
  let steps = 0
  const decided = decideEach(tx, events, {
    candidates: () => endpoints,
    operations: () => operations,
    putOff: () => steps > MOST_STEPS,
  })
  for await (const { event, matching, faults: found, steps: taken, putOff } of decided) {
    if (putOff || (done > 0 && matches.length + matching.length > MOST_DELIVERIES)) break
    done++
    steps += taken
    faults.push(...found)
    for (const { id, ordering } of matching) {
      const lane = laneOf(ordering, event.orderingKey)
      matches.push({ delivery: deliveryIdOf(event.id, id), event, endpoint: id, lane })
    }
  }
  return { done, matches, faults }
}

/** Appends deliveries to their lanes; returns those whose turn it is at once. */
async function enqueue(tx: Tx, tenant: TenantId, matches: readonly InLane[], now: Date) {
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
  const wait = ({ first }: { first: boolean }) => (first ? 'ALLOWANCE' : 'ORDER')
  const inLanes = appended.map((one) => ({ ...one, tenantId: tenant, ticket: null, waitingFor: wait(one) }) as const)
  const created = await createDeliveries(tx, inLanes, now)
  if (created.size < appended.length) throw new Raced('Somebody else has just created one of these deliveries')
  await saveLanes(tx, [...lanes.values()], now)
  return appended.flatMap(({ delivery, endpoint, first }) =>
    first ? [{ id: delivery, endpoint, firstAttempt: true }] : [],
  )
}

/** Deliveries of events that were left to a lane when they were routed, and belong in none now. Routing does not come back to them. */
async function createFree(tx: Tx, tenant: TenantId, matches: readonly Match[], now: Date) {
  const free = matches.map((match) => ({ ...match, tenantId: tenant, ticket: null, waitingFor: 'ALLOWANCE' }) as const)
  const created = await createDeliveries(tx, free, now)
  return free.flatMap(({ delivery, endpoint }) =>
    created.has(delivery) ? [{ id: delivery, endpoint, firstAttempt: true }] : [],
  )
}
