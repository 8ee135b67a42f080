import {
  type AttemptId,
  type DeliveryId,
  type EndpointId,
  type EventId,
  type Id,
  type Prefix,
  parsePublicId,
  type ReplayId,
  type TenantId,
} from '../../schema/ids.ts'
import type { Feed } from '../attempts/feed.ts'
import { type AttemptFilterInput, readAttemptFilter } from '../attempts/filter.ts'
import { findAttempts, findResponseBodies, listAttempts, listAttemptsOfDeliveries } from '../attempts/find.ts'
import {
  type Delivery,
  type DeliveryFilterInput,
  findDeliveries,
  listDeliveries,
  listDeliveriesOfEndpoints,
  listDeliveriesOfEvents,
  plannedFor,
} from '../deliveries/find.ts'
import type { Redeliverer } from '../deliveries/redeliver.ts'
import { findSentBodies } from '../deliveries/sent-body.ts'
import { type Endpoint, type EndpointFilterInput, findEndpoints, listEndpoints } from '../endpoints/find.ts'
import type { EndpointSettings } from '../endpoints/input.ts'
import {
  createEndpoint,
  deleteEndpoint,
  type NewEndpoint,
  pauseEndpoint,
  resumeEndpoint,
  type SaveContext,
  updateEndpoint,
} from '../endpoints/save.ts'
import { type EventFilterInput, findEvents, findPayloads, listEvents } from '../events/find.ts'
import { batchTooLarge, MOST_PER_BATCH, type Published, type Publisher, type PublishInput } from '../events/publish.ts'
import { Mistake } from '../mistake.ts'
import type { Db } from '../postgres/client.ts'
import { type PageInput, type PageRequest, readPage } from '../postgres/keyset.ts'
import { findReplays, listReplays, type ReplayFilterInput } from '../replays/find.ts'
import { previewReplay } from '../replays/preview.ts'
import type { ReplayProgress } from '../replays/progress.ts'
import type { ReplaySelectInput } from '../replays/selection.ts'
import { cancelReplay, type ReplaysContext, startReplay } from '../replays/start.ts'
import { expungeEvent } from '../retention/expunge.ts'
import { type TestContext, testEndpoint } from '../routing/test-delivery.ts'
import { type Reach, reachOf, type Viewer } from '../tenants/access.ts'
import { authenticate } from '../tenants/api-keys.ts'
import { findTenants, resolveReach, resolveTenant } from '../tenants/find.ts'

export type CapabilityParts = SaveContext &
  TestContext &
  ReplaysContext & {
    db: Db
    defaultTenantId: TenantId
    publisher: Publisher
    redeliverer: Redeliverer
    feed: Feed
    replayProgress: ReplayProgress
  }

type TenantKey = string | null | undefined
/** What a producer sends, with the tenant's key instead of its id. */
export type EventInput = OrUndefined<Omit<PublishInput, 'tenantId'>> & { tenant?: TenantKey }
/** GraphQL says `undefined` where a field is absent. */
type OrUndefined<T> = { [Name in keyof T]: T[Name] | (object extends Pick<T, Name> ? undefined : never) }

/** What the resolvers may ask for: each a function of a room, bound to what it needs. */
export type Capabilities = ReturnType<typeof createCapabilities>

export function createCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  return {
    /** Who holds this key and asks from this address, or null. */
    authenticate: (key: string, address: string | null) => authenticate(orm, key, { now: parts.clock.now(), address }),
    tenants: {
      byIds: (reach: Reach, ids: readonly TenantId[]) => findTenants(orm, reach, ids),
    },
    endpoints: endpointCapabilities(parts),
    events: eventCapabilities(parts),
    deliveries: deliveryCapabilities(parts),
    attempts: attemptCapabilities(parts),
    replays: replayCapabilities(parts),
  }
}

function endpointCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  const scope = { orm, defaultTenantId: parts.defaultTenantId }
  return {
    async create(viewer: Viewer, { tenant, ...input }: NewEndpoint & { tenant?: TenantKey }) {
      return createEndpoint(parts, viewer, await resolveTenant(scope, viewer, tenant, ['input', 'tenant']), input)
    },
    update: async (viewer: Viewer, id: string, input: EndpointSettings) =>
      updateEndpoint(parts, viewer, known('ep', id), input),
    pause: async (viewer: Viewer, id: string) => pauseEndpoint(parts, viewer, known('ep', id)),
    resume: async (viewer: Viewer, id: string) => resumeEndpoint(parts, viewer, known('ep', id)),
    delete: async (viewer: Viewer, id: string) => deleteEndpoint(parts, viewer, known('ep', id)),
    /** Answers the id of the test's delivery. */
    test: async (viewer: Viewer, id: string, type: string | null | undefined) =>
      testEndpoint(parts, viewer, known('ep', id), type ?? null),
    async list(viewer: Viewer, tenant: TenantKey, filter: EndpointFilterInput | null | undefined, page: PageInput) {
      return listEndpoints(orm, await resolveReach(scope, viewer, tenant, ['tenant']), filter, readPage(page))
    },
    byIds: (reach: Reach, ids: readonly EndpointId[]) => findEndpoints(orm, reach, ids),
  }
}

function eventCapabilities(parts: CapabilityParts) {
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
      return id
    },
    async list(viewer: Viewer, tenant: TenantKey, filter: EventFilterInput | null | undefined, page: PageInput) {
      return listEvents(orm, await resolveReach(scope, viewer, tenant, ['tenant']), filter, readPage(page))
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
function atPlace({ code, path, message }: Mistake, index: number): Mistake {
  return new Mistake(code, ['events', String(index), ...path.slice(2)], message)
}

function deliveryCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  const scope = { orm, defaultTenantId: parts.defaultTenantId }
  return {
    /** Answers the delivery's id: what became of it is read anew. */
    async retry(viewer: Viewer, text: string): Promise<DeliveryId> {
      const id = known('dlv', text)
      await parts.redeliverer.retry(viewer, id)
      return id
    },
    async cancel(viewer: Viewer, text: string): Promise<DeliveryId> {
      const id = known('dlv', text)
      await parts.redeliverer.cancel(viewer, id)
      return id
    },
    async list(viewer: Viewer, tenant: TenantKey, filter: DeliveryFilterInput | null | undefined, page: PageInput) {
      return listDeliveries(orm, await resolveReach(scope, viewer, tenant, ['tenant']), filter, readPage(page))
    },
    planned: (delivery: Delivery, endpoint: Endpoint | null) => plannedFor(delivery, endpoint, parts.clock.now()),
    ofEvents: (reach: Reach, ids: readonly EventId[], page: PageRequest) =>
      listDeliveriesOfEvents(orm, reach, ids, page),
    ofEndpoints: (reach: Reach, ids: readonly EndpointId[], page: PageRequest) =>
      listDeliveriesOfEndpoints(orm, reach, ids, page),
    byIds: (reach: Reach, ids: readonly DeliveryId[]) => findDeliveries(orm, reach, ids),
    sentBodies: (reach: Reach, ids: readonly EventId[]) => findSentBodies(orm, reach, ids),
  }
}

function attemptCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  const scope = { orm, defaultTenantId: parts.defaultTenantId }
  const cursor = () => parts.feed.cursor()
  return {
    async list(viewer: Viewer, tenant: TenantKey, filter: AttemptFilterInput | null | undefined, page: PageInput) {
      const reach = await resolveReach(scope, viewer, tenant, ['tenant'])
      const [read, request] = [readAttemptFilter(filter), readPage(page)]
      // Taken before the page is read: what is recorded in between is in both, and nothing is in neither.
      const feedCursor = await cursor()
      return { ...(await listAttempts(orm, reach, read, request)), feedCursor }
    },
    async ofDeliveries(reach: Reach, ids: readonly DeliveryId[], page: PageRequest) {
      const feedCursor = await cursor()
      const pages = await listAttemptsOfDeliveries(orm, reach, ids, page)
      return pages.map((one) => ({ ...one, feedCursor }))
    },
    byIds: (reach: Reach, ids: readonly AttemptId[]) => findAttempts(orm, reach, ids),
    bodies: (reach: Reach, ids: readonly AttemptId[]) => findResponseBodies(orm, reach, ids),
    async feedCursor(viewer: Viewer, tenant: TenantKey) {
      await resolveReach(scope, viewer, tenant, ['tenant'])
      return cursor()
    },
    async follow(
      viewer: Viewer,
      tenant: TenantKey,
      filter: AttemptFilterInput | null | undefined,
      after: string | null,
    ) {
      const reach = await resolveReach(scope, viewer, tenant, ['tenant'])
      return parts.feed.subscribe({ tenant: reach, filter: readAttemptFilter(filter), after })
    },
  }
}

type ReplayInput = { tenant?: TenantKey; select: ReplaySelectInput }

function replayCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  const scope = { orm, defaultTenantId: parts.defaultTenantId }
  return {
    async preview(viewer: Viewer, { tenant, select }: ReplayInput) {
      return previewReplay(parts, await resolveTenant(scope, viewer, tenant, ['input', 'tenant']), select)
    },
    async start(viewer: Viewer, { tenant, select }: ReplayInput) {
      return startReplay(parts, viewer, await resolveTenant(scope, viewer, tenant, ['input', 'tenant']), select)
    },
    cancel: async (viewer: Viewer, id: string) => cancelReplay(parts, viewer, known('rpl', id)),
    follow: async (viewer: Viewer, id: string) => parts.replayProgress.follow(reachOf(viewer), known('rpl', id)),
    async list(viewer: Viewer, tenant: TenantKey, filter: ReplayFilterInput | null | undefined, page: PageInput) {
      return listReplays(orm, await resolveReach(scope, viewer, tenant, ['tenant']), filter, readPage(page))
    },
    byIds: (reach: Reach, ids: readonly ReplayId[]) => findReplays(orm, reach, ids),
  }
}

/** The id behind a text; one that is not of this kind names nothing, like the id of another tenant's object. */
function known<P extends Prefix>(prefix: P, text: string): Id<P> {
  const id = parsePublicId(prefix, text)
  if (id !== null) return id
  throw new Mistake(
    'NOT_FOUND',
    ['id'],
    `${JSON.stringify(text.slice(0, 60))} is no such id: those are "${prefix}_" and 26 letters and digits.`,
  )
}

function orMistake(error: unknown): Mistake {
  if (error instanceof Mistake) return error
  throw error
}
