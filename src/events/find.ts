import { and, eq, inArray, isNotNull, isNull, ne, or, type SQL } from 'drizzle-orm'
import type { EventId } from '../../schema/ids.ts'
import { eventPayloads, events } from '../../schema/tables/events.ts'
import { readPatterns } from '../endpoints/matching.ts'
import { typeCondition } from '../event-types/type-condition.ts'
import { type Optional, readTimeRange, type TimeRangeInput } from '../input.ts'
import type { Orm } from '../postgres/client.ts'
import { type Page, type PageRequest, pageBounds, pageLimit, pageOrder, toPage } from '../postgres/keyset.ts'
import { idsWithin } from '../postgres/time-range.ts'
import type { Reach } from '../tenants/access.ts'
import { inReach } from '../tenants/reach.ts'

export type Event = typeof events.$inferSelect

export type EventFilterInput = TimeRangeInput & { types?: Optional<readonly string[]>; matched?: Optional<boolean> }

/** The events among these ids that can be seen. Without payloads: they stand apart. */
export async function findEvents(orm: Orm, reach: Reach, ids: readonly EventId[]): Promise<Event[]> {
  return orm
    .select()
    .from(events)
    .where(and(inReach(events.tenantId, reach), inArray(events.id, [...ids])))
}

/** The payloads that are still kept, as the text they came in. */
export async function findPayloads(
  orm: Orm,
  reach: Reach,
  ids: readonly EventId[],
): Promise<{ id: EventId; payload: string }[]> {
  // The ids bound both tables, or the join would look into every day's partition of the second one.
  return orm
    .select({ id: eventPayloads.id, payload: eventPayloads.payload })
    .from(eventPayloads)
    .innerJoin(events, eq(events.id, eventPayloads.id))
    .where(and(inReach(events.tenantId, reach), inArray(events.id, [...ids]), inArray(eventPayloads.id, [...ids])))
}

/** Newest first. */
export async function listEvents(
  orm: Orm,
  reach: Reach,
  filter: Optional<EventFilterInput>,
  page: PageRequest,
): Promise<Page<Event>> {
  const types = readPatterns(filter?.types, ['filter', 'types'])
  const rows = await orm
    .select()
    .from(events)
    .where(
      and(
        inReach(events.tenantId, reach),
        types === null ? undefined : typeCondition(events.type, types),
        matchedCondition(filter?.matched),
        ...idsWithin(events.id, readTimeRange(filter, ['filter'])),
        ...pageBounds(events.id, page),
      ),
    )
    .orderBy(pageOrder(events.id, page))
    .limit(pageLimit(page))
  return toPage(rows, page)
}

/** Whether any endpoint wanted an event; null before it is routed. What was expunged before that has never been asked about. */
export function matchedOf({ matched, routedAt, expungedAt }: Event): boolean | null {
  if (routedAt === null || routedAt.getTime() === expungedAt?.getTime()) return null
  return matched !== false
}

function matchedCondition(matched: boolean | null | undefined): SQL | undefined {
  if (matched === null || matched === undefined) return undefined
  if (!matched) return eq(events.matched, false)
  const asked = or(isNull(events.expungedAt), ne(events.expungedAt, events.routedAt))
  return and(isNotNull(events.routedAt), or(isNull(events.matched), eq(events.matched, true)), asked)
}
