import DataLoader from 'dataloader'
import {
  type ApiKeyId,
  type AttemptId,
  type AuditEntryId,
  type DeliveryId,
  type EndpointId,
  type EventId,
  type EventTypeId,
  type Id,
  type PortalSessionId,
  type Prefix,
  parsePublicId,
  type ReplayId,
  type SecretId,
  type SigningKeyId,
  type TenantId,
} from '../../schema/ids.ts'
import type { SentBody } from '../deliveries/sent-body.ts'
import type { VersionTexts } from '../event-types/find.ts'
import type { PageRequest } from '../postgres/keyset.ts'
import { reachOf, type Viewer } from '../tenants/access.ts'
import type { Capabilities } from './capabilities.ts'

/** Reads what several resolvers want at the same moment with one statement. */
export type Loaders = ReturnType<typeof createLoaders>

export function createLoaders(
  {
    tenants,
    apiKeys,
    portalSessions,
    endpoints,
    eventTypes,
    events,
    deliveries,
    attempts,
    replays,
    secrets,
    auditLog,
  }: Capabilities,
  viewer: Viewer,
) {
  const reach = reachOf(viewer)
  return {
    apiKey: byId((ids: readonly ApiKeyId[]) => apiKeys.byIds(viewer, ids)),
    portalSession: byId((ids: readonly PortalSessionId[]) => portalSessions.byIds(viewer, ids)),
    tenant: byId((ids: readonly TenantId[]) => tenants.byIds(reach, ids)),
    endpoint: byId((ids: readonly EndpointId[]) => endpoints.byIds(reach, ids)),
    endpointCredentials: byId((ids: readonly EndpointId[]) => endpoints.credentials(reach, ids)),
    filterFault: byId((ids: readonly EndpointId[]) => endpoints.filterFaults(reach, ids)),
    eventType: byId((ids: readonly EventTypeId[]) => eventTypes.byIds(ids)),
    eventTypeVersions: byKey((ids: readonly EventTypeId[]) => eventTypes.versions(ids)),
    eventTypeTexts: textsOfVersions(eventTypes.texts),
    event: byId((ids: readonly EventId[]) => events.byIds(reach, ids)),
    payload: byId((ids: readonly EventId[]) => events.payloads(reach, ids)),
    delivery: byId((ids: readonly DeliveryId[]) => deliveries.byIds(reach, ids)),
    attempt: byId((ids: readonly AttemptId[]) => attempts.byIds(reach, ids)),
    replay: byId((ids: readonly ReplayId[]) => replays.byIds(reach, ids)),
    secret: byId((ids: readonly SecretId[]) => secrets.byIds(reach, ids)),
    secretsOfEndpoint: byKey((ids: readonly EndpointId[]) => secrets.ofEndpoints(reach, ids)),
    signingKey: byId((ids: readonly SigningKeyId[]) => secrets.keysByIds(reach, ids)),
    signingKeysOfEndpoint: byKey((ids: readonly EndpointId[]) => secrets.keysOfEndpoints(reach, ids)),
    auditEntry: byId((ids: readonly AuditEntryId[]) => auditLog.byIds(viewer, ids)),
    responseBody: byId((ids: readonly AttemptId[]) => attempts.bodies(reach, ids)),
    sentBody: byKey((wanted: readonly SentBody[]) => deliveries.sentBodies(reach, wanted)),
    deliveriesOfEvent: byParent((ids: readonly EventId[], page) => deliveries.ofEvents(reach, ids, page)),
    deliveriesOfEndpoint: byParent((ids: readonly EndpointId[], page) => deliveries.ofEndpoints(reach, ids, page)),
    attemptsOfDelivery: byParent((ids: readonly DeliveryId[], page) => attempts.ofDeliveries(reach, ids, page)),
  }
}

/** What a public id names, or null: absent, foreign and misspelt are the same. */
export async function find<P extends Prefix, Row>(
  loader: DataLoader<Id<P>, Row | null>,
  prefix: P,
  text: string,
): Promise<Row | null> {
  const id = parsePublicId(prefix, text)
  return id === null ? null : loader.load(id)
}

// They gather, and keep nothing: a live feed reads through its loaders for hours.
const OPTIONS = { cache: false, maxBatchSize: 500 } as const

function byId<Key extends Id, Row extends { id: Key }>(read: (ids: readonly Key[]) => Promise<readonly Row[]>) {
  return new DataLoader<Key, Row | null>(async (ids) => {
    const rows = new Map((await read([...new Set(ids)])).map((row) => [row.id, row]))
    return ids.map((id) => rows.get(id) ?? null)
  }, OPTIONS)
}

/** What belongs to several keys; `read` answers in their order. */
function byKey<Key, Value>(read: (ids: readonly Key[]) => Promise<readonly Value[]>) {
  return new DataLoader<Key, Value>(async (ids) => {
    const distinct = [...new Set(ids)]
    const found = await read(distinct)
    const values = new Map(distinct.map((id, index) => [id, found[index] as Value]))
    return ids.map((id) => values.get(id) as Value)
  }, OPTIONS)
}

type VersionKey = { eventTypeId: EventTypeId; version: string }

function textsOfVersions(read: Capabilities['eventTypes']['texts']) {
  const nameOf = ({ eventTypeId, version }: VersionKey) => `${eventTypeId} ${version}`
  return new DataLoader<VersionKey, VersionTexts>(async (keys) => {
    const texts = new Map((await read(keys)).map((row) => [nameOf(row), row]))
    return keys.map((key) => texts.get(nameOf(key)) as VersionTexts)
  }, OPTIONS)
}

/** Pages of several parents; `read` answers in the order of the ids. */
function byParent<Key extends Id, Page>(read: (ids: readonly Key[], page: PageRequest) => Promise<readonly Page[]>) {
  return new DataLoader<{ parent: Key; page: PageRequest }, Page>(async (keys) => {
    const groups = Map.groupBy(keys, ({ page }) => JSON.stringify(page))
    const pages = new Map<string, Page>()
    const nameOf = ({ parent, page }: { parent: Key; page: PageRequest }) => `${parent} ${JSON.stringify(page)}`
    await Promise.all(
      [...groups.values()].map(async (group) => {
        const ids = [...new Set(group.map(({ parent }) => parent))]
        const page = (group[0] as { page: PageRequest }).page
        const found = await read(ids, page)
        ids.forEach((parent, index) => {
          pages.set(nameOf({ parent, page }), found[index] as Page)
        })
      }),
    )
    return keys.map((key) => pages.get(nameOf(key)) as Page)
  }, OPTIONS)
}
