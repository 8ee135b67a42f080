import {
  type AttemptId,
  type AuditEntryId,
  type DeliveryId,
  type EndpointId,
  type EventId,
  type EventTypeId,
  newId,
  type Prefix,
  publicId,
  type ReplayId,
  type SecretId,
  type SigningKeyId,
  type TenantId,
} from '../../schema/ids.ts'
import type { PortalScope, Scope } from '../../schema/states.ts'
import { SYSTEM } from '../../src/audit/actor.ts'
import { makeApiKey } from '../../src/tenants/api-keys.ts'
import { createPortalSession } from '../../src/tenants/portal-sessions.ts'
import { viewerOf } from '../support/viewer.ts'
import type { Credential, Kind } from './access-matrix.ts'
import { startApi } from './api.ts'

export const PREFIXES: Record<Kind, Prefix> = {
  tenant: 'ten',
  apiKey: 'key',
  portalSession: 'pts',
  endpoint: 'ep',
  eventType: 'ety',
  event: 'evt',
  delivery: 'dlv',
  attempt: 'att',
  replay: 'rpl',
  secret: 'sec',
  signingKey: 'sik',
  auditEntry: 'aud',
}

/** The API with two tenants, `acme` and `other`, one object of each kind in acme, and every credential of the matrix. */
export async function startAccessWorld() {
  const api = await startApi({ heartbeatMs: 50 })
  const acme = await api.newTenant('acme')
  const other = await api.newTenant('other')
  const make = createMaker(api, acme)
  const kinds = Object.keys(PREFIXES) as Kind[]
  const made = await Promise.all(kinds.map((kind) => (kind === 'tenant' ? publicId('ten', acme) : make(kind))))
  const ids = Object.fromEntries(kinds.map((kind, index) => [kind, made[index]])) as Record<Kind, string>
  return { ...api, ids, make, texts: await createCredentials(api, acme, other) }
}

type Api = Awaited<ReturnType<typeof startApi>>

/** An id of this kind that nothing has. */
export const absent = (kind: Kind) => publicId(PREFIXES[kind], newId(new Date()))

/** Makes something that belongs to a tenant, or another tenant; returns its id as callers know it. */
function createMaker(api: Api, tenantId: TenantId) {
  const { db, clock } = api
  const now = () => clock.now().toISOString()
  const sessions = { ...api, db: { orm: db.orm } }
  let tenants = 0
  let types = 0

  const endpoint = async () => {
    const id: EndpointId = newId(clock.now())
    await db.sql`insert into postrider.endpoints (id, tenant_id, url, timeout_seconds, max_in_flight, created_at, updated_at)
      values (${id}, ${tenantId}, 'https://example.com', 15, 20, now(), now())`
    return id
  }
  const eventType = async () => {
    const id: EventTypeId = newId(clock.now())
    await db.sql`insert into postrider.event_types (id, name, created_at, updated_at) values (${id}, ${types++ === 0 ? 'everybodys.type' : `type_${types}`}, now(), now())`
    return id
  }
  const event = async () => {
    const id: EventId = newId(clock.now())
    await db.sql`insert into postrider.events (id, tenant_id, type, channels, occurred_at, routed_at)
      values (${id}, ${tenantId}, 'a', '{}', now(), now())`
    await db.sql`insert into postrider.event_payloads (id, payload) values (${id}, '1')`
    return id
  }
  const delivery = async () => {
    const id: DeliveryId = newId(clock.now())
    const [eventId, endpointId] = await Promise.all([event(), endpoint()])
    await db.sql`insert into postrider.deliveries (id, tenant_id, event_id, endpoint_id, event_type, state, created_at, settled_at)
      values (${id}, ${tenantId}, ${eventId}, ${endpointId}, 'a', 'FAILED', ${now()}, ${now()})`
    return { id, eventId, endpointId }
  }
  const attempt = async () => {
    const id: AttemptId = newId(clock.now())
    const of = await delivery()
    await db.sql`
      insert into postrider.attempts (
        id, tenant_id, delivery_id, event_id, endpoint_id, event_type, position, number, trigger, duration_ms, succeeded,
        method, url, request_headers, request_bytes, status
      ) values (
        ${id}, ${tenantId}, ${of.id}, ${of.eventId}, ${of.endpointId}, 'a', nextval('postrider.attempt_positions'), 1, 'SCHEDULE', 1,
        true, 'POST', 'https://example.com', '[]', 1, 200
      )`
    return id
  }
  const replay = async () => {
    const id: ReplayId = newId(clock.now())
    await db.sql`insert into postrider.replays (id, tenant_id, selection, state, up_to, total, skipped, created_at, finished_at)
      values (${id}, ${tenantId}, '{"deliveries":{}}', 'COMPLETED', ${newId(clock.now())}, 0, 0, now(), now())`
    return id
  }
  const secret = async () => {
    const id: SecretId = newId(clock.now())
    await db.sql`insert into postrider.secrets (id, tenant_id, endpoint_id, sealed, created_at)
      values (${id}, ${tenantId}, ${await endpoint()}, '', now())`
    return id
  }
  const signingKey = async () => {
    const id: SigningKeyId = newId(clock.now())
    await db.sql`insert into postrider.signing_keys (id, tenant_id, endpoint_id, public_key, sealed, created_at)
      values (${id}, ${tenantId}, ${await endpoint()}, '', '', now())`
    return id
  }
  const auditEntry = async () => {
    const id: AuditEntryId = newId(clock.now())
    await db.sql`insert into postrider.audit_log (id, tenant_id, action, actor_kind, actor_name, created_at)
      values (${id}, ${tenantId}, 'KEYS_ROTATE', 'SYSTEM', 'Postrider', now())`
    return id
  }
  const apiKey = async () =>
    (await makeApiKey(db.orm, SYSTEM, { tenantId, name: 'one', scopes: ['READ'] }, clock.now())).apiKey
  const portalSession = async () => {
    const maker = { ...viewerOf(tenantId, ['READ']), id: (await apiKey()).id }
    return (await createPortalSession(sessions, maker, tenantId, { scope: 'READ' })).portalSession
  }
  const makers: Record<Kind, () => Promise<string>> = {
    tenant: async () => publicId('ten', await api.newTenant(`tenant-${tenants++}`)),
    apiKey: async () => publicId('key', (await apiKey()).id),
    portalSession: async () => publicId('pts', (await portalSession()).id),
    endpoint: async () => publicId('ep', await endpoint()),
    eventType: async () => publicId('ety', await eventType()),
    event: async () => publicId('evt', await event()),
    delivery: async () => publicId('dlv', (await delivery()).id),
    attempt: async () => publicId('att', await attempt()),
    replay: async () => publicId('rpl', await replay()),
    secret: async () => publicId('sec', await secret()),
    signingKey: async () => publicId('sik', await signingKey()),
    auditEntry: async () => publicId('aud', await auditEntry()),
  }
  return (kind: Kind) => makers[kind]()
}

/** The text of each credential of the matrix; null: none is shown. */
async function createCredentials(
  api: Api,
  acme: TenantId,
  other: TenantId,
): Promise<Record<Credential, string | null>> {
  const { db, clock } = api
  const now = clock.now()
  const gone = await api.newTenant('gone')
  const key = async (tenantId: TenantId | null, scopes: Scope[], expiresAt: Date | null = null) =>
    makeApiKey(db.orm, SYSTEM, { tenantId, name: 'one of the matrix', scopes, expiresAt }, now)
  const textOf = async (tenantId: TenantId | null, ...scopes: Scope[]) => (await key(tenantId, scopes)).key
  const session = async (tenantId: TenantId, scope: PortalScope, maker = key(null, ['ADMIN'])) => {
    const viewer = { ...viewerOf(null), id: (await maker).apiKey.id }
    return (await createPortalSession({ ...api, db: { orm: db.orm } }, viewer, tenantId, { scope })).token
  }
  const revoked = await key(null, ['ADMIN'])
  const ofRevokedKey = await session(acme, 'MANAGE', Promise.resolve(revoked))
  const ended = { expired: await session(acme, 'MANAGE'), revoked: await session(acme, 'MANAGE') }
  await endSessions(api, ended)
  const ofGone = { key: await textOf(gone, 'ADMIN'), session: await session(gone, 'MANAGE') }
  await api.ask('mutation ($id: ID!) { tenantDelete(id: $id) { tenant { id } } }', { id: publicId('ten', gone) })
  await api.ask('mutation ($id: ID!) { apiKeyRevoke(id: $id) { apiKey { id } } }', {
    id: publicId('key', revoked.apiKey.id),
  })
  return {
    'no credential': null,
    'an expired key': (await key(null, ['ADMIN'], now)).key,
    'a revoked key': revoked.key,
    'an expired portal session': ended.expired,
    'a revoked portal session': ended.revoked,
    'a session of a revoked key': ofRevokedKey,
    'a key of a deleted tenant': ofGone.key,
    'a session of a deleted tenant': ofGone.session,
    PUBLISH: await textOf(null, 'PUBLISH'),
    READ: await textOf(null, 'READ'),
    MANAGE: await textOf(null, 'MANAGE'),
    ADMIN: await textOf(null, 'ADMIN'),
    'PUBLISH of acme': await textOf(acme, 'PUBLISH'),
    'READ of acme': await textOf(acme, 'READ'),
    'MANAGE of acme': await textOf(acme, 'MANAGE'),
    'ADMIN of acme': await textOf(acme, 'ADMIN'),
    'portal session READ of acme': await session(acme, 'READ'),
    'portal session MANAGE of acme': await session(acme, 'MANAGE'),
    'PUBLISH and MANAGE of other': await textOf(other, 'PUBLISH', 'MANAGE'),
    'ADMIN of other': await textOf(other, 'ADMIN'),
    'portal session MANAGE of other': await session(other, 'MANAGE'),
  }
}

async function endSessions(
  { db, clock }: Api,
  { expired, revoked }: { expired: string; revoked: string },
): Promise<void> {
  const now = clock.now().toISOString()
  await db.sql`update postrider.portal_sessions set expires_at = ${now} where hash = sha256(${expired}::text::bytea)`
  await db.sql`update postrider.portal_sessions set revoked_at = ${now} where hash = sha256(${revoked}::text::bytea)`
}
