import { and, eq, gte, inArray, or, type SQL, sql } from 'drizzle-orm'
import { type AttemptId, type DeliveryId, type EventId, lowestIdAt, timeOf } from '../../schema/ids.ts'
import { attemptBodies, attempts } from '../../schema/tables/attempts.ts'
import { typeCondition } from '../event-types/type-condition.ts'
import type { Orm } from '../postgres/client.ts'
import { type Page, type PageRequest, pageBounds, pageLimit, pageOrder, toPage } from '../postgres/keyset.ts'
import { HIGHEST_ID, listPerParent } from '../postgres/per-parent.ts'
import { idsWithin } from '../postgres/time-range.ts'
import type { Reach } from '../tenants/access.ts'
import { inReach } from '../tenants/reach.ts'
import type { AttemptFilter } from './filter.ts'

export type Attempt = typeof attempts.$inferSelect

/** The attempts among these ids that can be seen. Without response bodies: they stand apart. */
export async function findAttempts(orm: Orm, reach: Reach, ids: readonly AttemptId[]): Promise<Attempt[]> {
  return orm
    .select()
    .from(attempts)
    .where(and(inReach(attempts.tenantId, reach), inArray(attempts.id, [...ids])))
}

/** What was kept of response bodies. */
export async function findResponseBodies(
  orm: Orm,
  reach: Reach,
  ids: readonly AttemptId[],
): Promise<{ id: AttemptId; body: Buffer }[]> {
  // The ids bound both tables, or the join would look into every day's partition of the second one.
  return orm
    .select({ id: attemptBodies.id, body: attemptBodies.body })
    .from(attemptBodies)
    .innerJoin(attempts, eq(attempts.id, attemptBodies.id))
    .where(and(inReach(attempts.tenantId, reach), inArray(attempts.id, [...ids]), inArray(attemptBodies.id, [...ids])))
}

/** Newest first. */
export async function listAttempts(
  orm: Orm,
  reach: Reach,
  filter: AttemptFilter,
  page: PageRequest,
): Promise<Page<Attempt>> {
  const rows = await orm
    .select()
    .from(attempts)
    .where(and(inReach(attempts.tenantId, reach), attemptCondition(filter), ...pageBounds(attempts.id, page)))
    .orderBy(pageOrder(attempts.id, page))
    .limit(pageLimit(page))
  return toPage(rows, page)
}

/** For each of the deliveries the same page of its own attempts, newest first. */
export async function listAttemptsOfDeliveries(
  orm: Orm,
  reach: Reach,
  deliveryIds: readonly DeliveryId[],
  page: PageRequest,
): Promise<Page<Attempt>[]> {
  const parents = deliveryIds.map((id) => ({ id, low: lowestIdAt(timeOf(id)), high: HIGHEST_ID }))
  const where = inReach(attempts.tenantId, reach)
  return listPerParent(orm, { table: attempts, parentId: attempts.deliveryId, where }, parents, page)
}

/** The filter as SQL: what `matches` says of a row. */
export function attemptCondition(filter: AttemptFilter): SQL | undefined {
  return and(
    filter.endpointIds === null ? undefined : inArray(attempts.endpointId, [...filter.endpointIds]),
    filter.eventIds === null ? undefined : or(...filter.eventIds.map(ofEvent)),
    filter.deliveryIds === null ? undefined : or(...filter.deliveryIds.map(ofDelivery)),
    filter.eventTypes === null ? undefined : typeCondition(attempts.eventType, filter.eventTypes),
    filter.succeeded === null ? undefined : eq(attempts.succeeded, filter.succeeded),
    filter.errorClasses === null ? undefined : inArray(attempts.errorClass, [...filter.errorClasses]),
    filter.statusCodes === null ? undefined : inArray(attempts.status, [...filter.statusCodes]),
    ...idsWithin(attempts.id, filter),
  )
}

// An attempt is never older than its event and its delivery: days before that stay shut.
const ofEvent = (id: EventId) => and(eq(attempts.eventId, id), notBefore(id))
const ofDelivery = (id: DeliveryId) => and(eq(attempts.deliveryId, id), notBefore(id))
const notBefore = (id: EventId | DeliveryId) => gte(attempts.id, sql`${lowestIdAt(timeOf(id))}`)
