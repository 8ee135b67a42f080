import { type EventId, publicId, type TenantId } from '../../../schema/ids.ts'
import { type Event, type EventFilterInput, findEvents, findPayloads, listEvents } from '../../events/find.ts'
import { batchTooLarge, MOST_PER_BATCH, type Published, type PublishInput } from '../../events/publish.ts'
import { Mistake, moved } from '../../mistake.ts'
import { type PageInput, readPage } from '../../postgres/keyset.ts'
import { expungeEvent } from '../../retention/expunge.ts'
import { explainDraft, explainEvent } from '../../routing/explain.ts'
import { routeAgain } from '../../routing/route-again.ts'
import { type Reach, reachOf, type Viewer } from '../../tenants/access.ts'
import { resolveReach, resolveTenant } from '../../tenants/find.ts'
import { known } from './known.ts'
import type { CapabilityParts, TenantKey } from './parts.ts'
import { scan } from './scan.ts'

/** What a producer sends, with the tenant's key instead of its id. */
export type EventInput = OrUndefined<Omit<PublishInput, 'tenantId'>> & { tenant?: TenantKey }
/** GraphQL says `undefined` where a field is absent. */
type OrUndefined<T> = { [Name in keyof T]: T[Name] | (object extends Pick<T, Name> ? undefined : never) }

/** What resolvers may ask about events. */
export function eventCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  const scope = { orm, defaultTenantId: parts.defaultTenantId }
  return {
    async publish(viewer: Viewer, { tenant, ...input }: EventInput) {
      const tenantId = await resolveTenant(scope, viewer, tenant, ['input', 'tenant'])
      return parts.publisher.publish({ ...input, tenantId } as PublishInput)
    },
    publishBatch: (viewer: Viewer, events: readonly EventInput[]) => publishBatch(parts, viewer, events),
    /** Answers the event's id: what is left of it is read anew. */
    async expunge(viewer: Viewer, text: string): Promise<EventId> {
      const id = known('evt', text)
      await expungeEvent(parts, viewer, id)
      // A backup of before has the payload still: these lines say what to expunge anew after it was restored.
      parts.log.info({ event: publicId('evt', id) }, 'Expunged an event')
      return id
    },
    async route(viewer: Viewer, text: string): Promise<{ eventId: EventId; deliveriesCreated: number }> {
      const eventId = known('evt', text)
      // One at a time of each caller's tenant: while its filters are asked, it has a connection that everybody needs.
      const created = await parts.scans.run(reachOf(viewer), ['id'], () => routeAgain(parts, viewer, eventId))
      return { eventId, deliveriesCreated: created }
    },
    async explain(viewer: Viewer, { tenant, ...input }: EventInput, endpointIds: readonly string[] | null | undefined) {
      const tenantId = await resolveTenant(scope, viewer, tenant, ['event', 'tenant'])
      return explainDraft(parts, { ...input, tenantId } as PublishInput, endpointIds)
    },
    routing: (event: Event, endpointIds: readonly string[] | null | undefined) =>
      explainEvent(parts, event, endpointIds),
    async list(viewer: Viewer, tenant: TenantKey, filter: EventFilterInput | null | undefined, page: PageInput) {
      const reach = await resolveReach(scope, viewer, tenant, ['tenant'])
      return scan(parts, reach, filter, (orm) => listEvents(orm, reach, filter, readPage(page)))
    },
    byIds: (reach: Reach, ids: readonly EventId[]) => findEvents(orm, reach, ids),
    payloads: (reach: Reach, ids: readonly EventId[]) => findPayloads(orm, reach, ids),
  }
}

/** An event whose tenant is unknown fails for itself, like one with any other fault. */
async function publishBatch(
  { db, defaultTenantId, publisher }: CapabilityParts,
  viewer: Viewer,
  events: readonly EventInput[],
): Promise<(Published | Mistake)[]> {
  // Before anything is looked up for them.
  if (events.length > MOST_PER_BATCH) throw batchTooLarge(events.length)
  const scope = { orm: db.orm, defaultTenantId }
  const keys = [...new Set(events.map((event) => event.tenant))]
  const found = await Promise.all(keys.map((key) => resolveTenant(scope, viewer, key, ['tenant']).catch(orMistake)))
  const tenantOf = new Map(keys.map((key, index) => [key, found[index] as TenantId | Mistake]))
  const results: (Published | Mistake)[] = []
  const places: number[] = []
  const inputs: PublishInput[] = []
  events.forEach(({ tenant, ...input }, index) => {
    const tenantId = tenantOf.get(tenant) as TenantId | Mistake
    if (tenantId instanceof Mistake) {
      results[index] = new Mistake(tenantId.code, ['events', String(index), 'tenant'], tenantId.message)
    } else {
      places.push(index)
      inputs.push({ ...input, tenantId } as PublishInput)
    }
  })
  const published = await publisher.publishBatch(inputs)
  published.forEach((result, at) => {
    results[places[at] as number] = result instanceof Mistake ? atPlace(result, places[at] as number) : result
  })
  return results
}

/** The same mistake at the place of its event among all those that were sent. */
function atPlace(mistake: Mistake, index: number): Mistake {
  return moved(mistake, (path) => ['events', String(index), ...path.slice(2)])
}

function orMistake(error: unknown): Mistake {
  if (error instanceof Mistake) return error
  throw error
}
