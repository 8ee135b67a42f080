import { and, asc, desc, eq, inArray, isNotNull, isNull } from 'drizzle-orm'
import type { EventTypeId } from '../../schema/ids.ts'
import { eventTypes, eventTypeVersions } from '../../schema/tables/event-types.ts'
import type { Orm, Tx } from '../postgres/client.ts'
import { type Page, type PageRequest, pageBounds, pageLimit, pageOrder, toPage } from '../postgres/keyset.ts'
import { typeCondition } from './type-condition.ts'

/** The catalogue is everybody's: finders take no tenant. */
export type EventType = typeof eventTypes.$inferSelect
export type EventTypeVersion = Pick<
  typeof eventTypeVersions.$inferSelect,
  'eventTypeId' | 'version' | 'createdAt' | 'updatedAt'
>
export type VersionTexts = Pick<typeof eventTypeVersions.$inferSelect, 'eventTypeId' | 'version' | 'schema' | 'example'>

export type EventTypeFilter = {
  /** Names, or patterns of them; already checked. */
  names?: readonly string[] | null
  groups?: readonly string[] | null
  archived?: boolean | null
  deprecated?: boolean | null
}

export async function findEventTypes(orm: Orm, ids: readonly EventTypeId[]): Promise<EventType[]> {
  return orm
    .select()
    .from(eventTypes)
    .where(inArray(eventTypes.id, [...ids]))
}

/** By its name, also when it is archived. */
export async function findEventType(orm: Orm, name: string): Promise<EventType | null> {
  // Postgres text cannot hold U+0000: the query would fail instead of finding nothing.
  if (name.includes('\0')) return null
  const [row] = await orm.select().from(eventTypes).where(eq(eventTypes.name, name))
  return row ?? null
}

/** Newest first. Those that are archived only where they are asked for. */
export async function listEventTypes(orm: Orm, filter: EventTypeFilter, page: PageRequest): Promise<Page<EventType>> {
  const { names, groups, archived, deprecated } = filter
  const rows = await orm
    .select()
    .from(eventTypes)
    .where(
      and(
        names ? typeCondition(eventTypes.name, names) : undefined,
        groups ? inArray(eventTypes.group, [...groups]) : undefined,
        archived ? isNotNull(eventTypes.archivedAt) : isNull(eventTypes.archivedAt),
        deprecated === null || deprecated === undefined
          ? undefined
          : (deprecated ? isNotNull : isNull)(eventTypes.deprecatedAt),
        ...pageBounds(eventTypes.id, page),
      ),
    )
    .orderBy(pageOrder(eventTypes.id, page))
    .limit(pageLimit(page))
  return toPage(rows, page)
}

/** The versions of each type, newest first, in the order of the ids. Without their schemas: those are large. */
export async function findVersions(orm: Orm, ids: readonly EventTypeId[]): Promise<EventTypeVersion[][]> {
  const { eventTypeId, version, createdAt, updatedAt } = eventTypeVersions
  const rows = await orm
    .select({ eventTypeId, version, createdAt, updatedAt })
    .from(eventTypeVersions)
    .where(inArray(eventTypeId, [...ids]))
    .orderBy(asc(eventTypeId), desc(createdAt), desc(version))
  const byType = Map.groupBy(rows, (row) => row.eventTypeId)
  return ids.map((id) => byType.get(id) ?? [])
}

/** Schemas and examples of some versions of some types; more of them than were asked for. */
export async function findVersionTexts(
  orm: Orm,
  wanted: readonly { eventTypeId: EventTypeId; version: string }[],
): Promise<VersionTexts[]> {
  const { eventTypeId, version, schema, example } = eventTypeVersions
  return orm
    .select({ eventTypeId, version, schema, example })
    .from(eventTypeVersions)
    .where(
      and(
        inArray(eventTypeId, [...new Set(wanted.map((one) => one.eventTypeId))]),
        inArray(version, [...new Set(wanted.map((one) => one.version))]),
      ),
    )
}

/** The example of a type's version, or of its newest, as JSON text; null where the catalogue has none. */
export async function findExample(
  tx: Tx,
  name: string,
  preferred: string | null,
): Promise<{ version: string; example: string } | null> {
  const [row] = await tx<{ version: string; example: string }[]>`
    select version.version, version.example from postrider.event_types type
    join postrider.event_type_versions version on version.event_type_id = type.id
    where type.name = ${name} and type.archived_at is null
    order by (version.version = ${preferred}) desc nulls last, version.created_at desc, version.version desc limit 1`
  return row ?? null
}
