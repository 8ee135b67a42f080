import { and, eq, inArray } from 'drizzle-orm'
import { type EndpointId, highestIdAt, lowestIdAt, parsePublicId, type TenantId, timeOf } from '../../schema/ids.ts'
import type { EndpointState } from '../../schema/states.ts'
import { endpoints } from '../../schema/tables/endpoints.ts'
import type { StoredSelection } from '../../schema/tables/replays.ts'
import { type DeliveryFilterInput, deliveryCondition } from '../deliveries/find.ts'
import { endpointNotFound } from '../endpoints/find.ts'
import { type Optional, readId, readIds, readTimeRange, wrong } from '../input.ts'
import { Mistake } from '../mistake.ts'
import type { Orm } from '../postgres/client.ts'

export type MissedInput = { endpointId: string; since: Date; until?: Optional<Date> }
/** Exactly one of them. */
export type ReplaySelectInput = {
  deliveries?: Optional<DeliveryFilterInput>
  missed?: Optional<MissedInput>
}

export type Missed = { endpointId: EndpointId; since: Date; until: Date | null }

export const PATH = ['input', 'select']

/** What is to be replayed, as it is stored. Mistakes: INVALID_INPUT where it cannot be used, or could never send anything. */
export function readSelection({ deliveries, missed }: ReplaySelectInput): StoredSelection {
  if (deliveries) return { deliveries: readFilter(deliveries, [...PATH, 'deliveries']) }
  if (missed) return { missed: readMissed(missed, [...PATH, 'missed']) }
  throw wrong(PATH, 'Give deliveries or missed.')
}

function readFilter(filter: DeliveryFilterInput, path: readonly string[]) {
  deliveryCondition(filter, path)
  if (filter.states?.every((state) => state === 'PENDING')) {
    const message =
      'What is PENDING is on its way already, and a replay leaves it alone. Give other states, or leave them out.'
    throw wrong([...path, 'states'], message)
  }
  const { since, until, ...lists } = filter
  const given = Object.entries(lists).filter(([, list]) => list !== null && list !== undefined)
  return {
    ...(Object.fromEntries(given) as Extract<StoredSelection, { deliveries: object }>['deliveries']),
    ...(since ? { since: since.toISOString() } : {}),
    ...(until ? { until: until.toISOString() } : {}),
  }
}

function readMissed({ endpointId, since, until }: MissedInput, path: readonly string[]) {
  readTimeRange({ since, until }, path)
  return { endpointId, since: since.toISOString(), ...(until ? { until: until.toISOString() } : {}) }
}

/** The filter of a stored selection. */
export function filterOf(stored: Extract<StoredSelection, { deliveries: object }>): DeliveryFilterInput {
  const { since, until, ...lists } = stored.deliveries
  return { ...lists, since: since ? new Date(since) : null, until: until ? new Date(until) : null }
}

export function missedOf({ missed }: Extract<StoredSelection, { missed: object }>): Missed {
  const endpointId = parsePublicId('ep', missed.endpointId) as EndpointId
  return { endpointId, since: new Date(missed.since), until: missed.until ? new Date(missed.until) : null }
}

/**
 * The endpoints that a selection names, and null when it names none. Mistakes: NOT_FOUND for one that is unknown or another
 * tenant's, ENDPOINT_DELETED, both where it is named.
 */
export async function namedEndpoints(
  orm: Orm,
  tenant: TenantId,
  selection: StoredSelection,
): Promise<{ id: EndpointId; state: EndpointState; eventTypes: string[] | null }[] | null> {
  const { ids, pathOf } = namesIn(selection)
  if (ids === null) return null
  const rows = await orm
    .select({
      id: endpoints.id,
      state: endpoints.state,
      eventTypes: endpoints.eventTypes,
      deletedAt: endpoints.deletedAt,
    })
    .from(endpoints)
    .where(and(eq(endpoints.tenantId, tenant), inArray(endpoints.id, [...ids])))
  const byId = new Map(rows.map((row) => [row.id, row]))
  ids.forEach((id, index) => {
    const row = byId.get(id)
    if (!row) throw endpointNotFound(id, pathOf(index))
    if (row.deletedAt === null) return
    const message = 'This endpoint was deleted, and its secrets with it: nothing can be sent to it. Leave it out.'
    throw new Mistake('ENDPOINT_DELETED', pathOf(index), message)
  })
  return rows
}

function namesIn(selection: StoredSelection): {
  ids: readonly EndpointId[] | null
  pathOf(index: number): string[]
} {
  if ('deliveries' in selection) {
    const path = [...PATH, 'deliveries', 'endpointIds']
    const ids = readIds('ep', selection.deliveries.endpointIds, path)
    return { ids, pathOf: (index) => [...path, String(index)] }
  }
  const path = [...PATH, 'missed', 'endpointId']
  const id = readId('ep', selection.missed.endpointId, path)
  return { ids: [id], pathOf: () => path }
}

/** Between which ids a selection lies: of deliveries, or of events where they were missed. The lower one is nobody's. */
export type Bounds = { from: string; upTo: string }

/** What comes after `now` is not for it. The lowest id of a moment is nobody's: everything of that moment comes after it. */
export function boundsOfSelection(selection: StoredSelection, now: Date): Bounds {
  const { since, until } = 'missed' in selection ? missedOf(selection) : filterOf(selection)
  const events = 'missed' in selection ? null : readIds('evt', selection.deliveries.eventIds, PATH)
  // A delivery's id begins with its event's time.
  const times = events?.map(timeOf) ?? []
  const from = Math.max(since?.getTime() ?? 0, events ? Math.min(...times) : 0)
  const to = Math.min(now.getTime(), events ? Math.max(...times) : now.getTime())
  const upTo = until && until.getTime() <= to ? lowestIdAt(until.getTime()) : highestIdAt(to)
  return { from: lowestIdAt(from), upTo }
}
