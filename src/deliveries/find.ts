import { and, between, eq, inArray, or, type SQL, sql } from 'drizzle-orm'
import { type DeliveryId, type EndpointId, type EventId, highestIdAt, lowestIdAt, timeOf } from '../../schema/ids.ts'
import {
  type AttemptTrigger,
  type DeliveryState,
  type DeliveryWait,
  type EndpointState,
  LINES,
  type Line,
  type StoredWait,
} from '../../schema/states.ts'
import { deliveries } from '../../schema/tables/deliveries.ts'
import type { Endpoint } from '../endpoints/find.ts'
import { readPatterns } from '../endpoints/matching.ts'
import { typeCondition } from '../event-types/type-condition.ts'
import { type Optional, readIds, readList, readTimeRange, type TimeRangeInput } from '../input.ts'
import type { Orm } from '../postgres/client.ts'
import { type Page, type PageRequest, pageBounds, pageLimit, pageOrder, toPage } from '../postgres/keyset.ts'
import { HIGHEST_ID, LOWEST_ID, listPerParent } from '../postgres/per-parent.ts'
import { idsWithin } from '../postgres/time-range.ts'
import type { Reach } from '../tenants/access.ts'
import { inReach } from '../tenants/reach.ts'
import { DEFAULT_RETRY_POLICY, plannedAttempts } from './retry-policy.ts'

export type Delivery = typeof deliveries.$inferSelect

export type DeliveryFilterInput = TimeRangeInput & {
  endpointIds?: Optional<readonly string[]>
  eventIds?: Optional<readonly string[]>
  eventTypes?: Optional<readonly string[]>
  states?: Optional<readonly DeliveryState[]>
}

/** The deliveries among these ids that can be seen. */
export async function findDeliveries(orm: Orm, reach: Reach, ids: readonly DeliveryId[]): Promise<Delivery[]> {
  return orm
    .select()
    .from(deliveries)
    .where(and(inReach(deliveries.tenantId, reach), inArray(deliveries.id, [...ids])))
}

/** Newest first. */
export async function listDeliveries(
  orm: Orm,
  reach: Reach,
  filter: Optional<DeliveryFilterInput>,
  page: PageRequest,
): Promise<Page<Delivery>> {
  const rows = await orm
    .select()
    .from(deliveries)
    .where(and(inReach(deliveries.tenantId, reach), deliveryCondition(filter), ...pageBounds(deliveries.id, page)))
    .orderBy(pageOrder(deliveries.id, page))
    .limit(pageLimit(page))
  return toPage(rows, page)
}

/** For each of the events the same page of its own deliveries, newest first. */
export async function listDeliveriesOfEvents(
  orm: Orm,
  reach: Reach,
  eventIds: readonly EventId[],
  page: PageRequest,
): Promise<Page<Delivery>[]> {
  const parents = eventIds.map((id) => ({ id, low: lowestIdAt(timeOf(id)), high: highestIdAt(timeOf(id)) }))
  const where = inReach(deliveries.tenantId, reach)
  return listPerParent(orm, { table: deliveries, parentId: deliveries.eventId, where }, parents, page)
}

/** For each of the endpoints the same page of its own deliveries, newest first. */
export async function listDeliveriesOfEndpoints(
  orm: Orm,
  reach: Reach,
  endpointIds: readonly EndpointId[],
  page: PageRequest,
): Promise<Page<Delivery>[]> {
  // An event may be routed again, to an endpoint that is younger than it: no lower bound.
  const parents = endpointIds.map((id) => ({ id, low: LOWEST_ID, high: HIGHEST_ID }))
  const where = inReach(deliveries.tenantId, reach)
  return listPerParent(orm, { table: deliveries, parentId: deliveries.endpointId, where }, parents, page)
}

/**
 * Why a delivery that is to go does not go now: its endpoint's state comes first, for it alone can be changed by hand. A test
 * goes whatever that is.
 */
export function waitingFor(delivery: Delivery, endpoint: Pick<Endpoint, 'state'> | null): DeliveryWait | null {
  if (delivery.state !== 'PENDING' && delivery.requestedTrigger === null) return null
  return isHeld(delivery, endpoint) ? endpoint.state : waitOf(delivery.waitingFor)
}

/** What its next attempt comes of, where that is not the schedule. What had ended begins a schedule of its replay's. */
export function triggerOf({ requestedTrigger, replayId }: Delivery): AttemptTrigger | null {
  return requestedTrigger ?? (replayId === null ? null : 'REPLAY')
}

type HeldEndpoint = { state: Exclude<EndpointState, 'ACTIVE'> }

function isHeld<E extends Pick<Endpoint, 'state'>>(
  { requestedTrigger }: Pick<Delivery, 'requestedTrigger'>,
  endpoint: E | null,
): endpoint is E & HeldEndpoint {
  return endpoint !== null && endpoint.state !== 'ACTIVE' && requestedTrigger !== 'TEST'
}

const waitOf = (stored: StoredWait | null): DeliveryWait | null => (isLine(stored) ? 'ALLOWANCE' : stored)
const isLine = (wait: StoredWait | null): wait is Line => LINES.includes(wait as Line)

/** When a pending delivery will be tried if every attempt fails; nothing is planned where nothing is sent to. */
export function plannedFor(
  delivery: Pick<Delivery, 'state' | 'waitingFor' | 'requestedTrigger' | 'scheduledAttemptsMade' | 'nextAttemptAt'>,
  endpoint: Pick<Endpoint, 'state' | 'retryPolicy'> | null,
  now: Date,
): Date[] {
  if (delivery.state !== 'PENDING' || endpoint === null || isHeld(delivery, endpoint)) return []
  if (delivery.waitingFor === 'ORDER') return []
  const nextAt = new Date(Math.max(now.getTime(), delivery.nextAttemptAt?.getTime() ?? 0))
  // A test is tried once.
  if (delivery.requestedTrigger === 'TEST') return [nextAt]
  return plannedAttempts(endpoint.retryPolicy ?? DEFAULT_RETRY_POLICY, delivery.scheduledAttemptsMade, nextAt)
}

/** `path`: where the filter stands in the input. */
export function deliveryCondition(
  filter: Optional<DeliveryFilterInput>,
  path: readonly string[] = ['filter'],
): SQL | undefined {
  const endpointIds = readIds('ep', filter?.endpointIds, [...path, 'endpointIds'])
  const eventIds = readIds('evt', filter?.eventIds, [...path, 'eventIds'])
  const eventTypes = readPatterns(filter?.eventTypes, [...path, 'eventTypes'])
  const states = readList(filter?.states, [...path, 'states'])
  return and(
    endpointIds === null ? undefined : inArray(deliveries.endpointId, [...endpointIds]),
    eventIds === null ? undefined : or(...eventIds.map(ofEvent)),
    eventTypes === null ? undefined : typeCondition(deliveries.eventType, eventTypes),
    states === null ? undefined : inArray(deliveries.state, [...states]),
    ...idsWithin(deliveries.id, readTimeRange(filter, path)),
  )
}

// A delivery's id begins with its event's time: all deliveries of an event lie within its millisecond.
const ofEvent = (id: EventId) =>
  and(
    eq(deliveries.eventId, id),
    between(deliveries.id, sql`${lowestIdAt(timeOf(id))}`, sql`${highestIdAt(timeOf(id))}`),
  )
