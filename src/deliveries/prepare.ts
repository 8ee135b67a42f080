import { setImmediate } from 'node:timers/promises'
import {
  type DeliveryId,
  type EndpointId,
  type EventId,
  highestIdAt,
  lowestIdAt,
  publicId,
  type TenantId,
  timeOf,
} from '../../schema/ids.ts'
import type {
  AttemptTrigger,
  CredentialPart,
  DeliveryState,
  EndpointState,
  HttpMethod,
  Ordering,
  PayloadFormat,
} from '../../schema/states.ts'
import type { StoredRetryPolicy, StoredSignature } from '../../schema/tables/endpoints.ts'
import { type EndpointCredentials, NO_CREDENTIALS, openCredentials } from '../endpoints/credentials.ts'
import type { Header } from '../endpoints/headers.ts'
import { secretContext } from '../endpoints/secrets.ts'
import { signingKeyContext } from '../endpoints/signing-keys.ts'
import { type Sql, toDate } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { boundsOf } from '../postgres/time-range.ts'
import type { Claim } from '../queue/tickets.ts'
import type { Sealer } from '../sealing/sealer.ts'
import type { DeliverTicket } from './admit.ts'
import { type FormattableEvent, type FormattedBody, formatEvent } from './formats.ts'
import type { Signing } from './sign.ts'

/** A claimed delivery with everything needed to send it. */
export type Prepared = {
  claim: Claim<DeliverTicket>
  delivery: {
    id: DeliveryId
    tenantId: TenantId
    eventId: EventId
    endpointId: EndpointId
    eventType: string
    lane: string | null
    sequence: number | null
    state: DeliveryState
    trigger: AttemptTrigger
    replayed: boolean
    attemptsMade: number
    scheduledAttemptsMade: number
    nextAttemptAt: Date | null
  }
  endpoint: {
    url: string
    description: string | null
    method: HttpMethod
    timeoutSeconds: number
    retryPolicy: StoredRetryPolicy | null
    ratePerSecond: number | null
    ordering: Ordering
    format: PayloadFormat
    signing: Signing
    credentials: EndpointCredentials
  }
  webhookId: string
  /** Those that belong to the body. */
  headers: Header[]
  body: Buffer
}

/**
 * What becomes of claims before anything is sent. `idle` tickets are nobody's: their delivery has another one, or none.
 * `held` deliveries belong to an endpoint that is not active. `broken` ones cannot be prepared: our fault, not the receiver's.
 */
export type PreparedBatch = {
  ready: Prepared[]
  held: Claim<DeliverTicket>[]
  idle: Claim<DeliverTicket>[]
  broken: { prepared: Prepared; error: unknown }[]
}

type DeliveryRow = {
  id: DeliveryId
  ticketId: string
  tenantId: TenantId
  eventId: EventId
  endpointId: EndpointId
  eventType: string
  lane: string | null
  sequence: string | null
  state: DeliveryState
  requestedTrigger: AttemptTrigger | null
  replayed: boolean
  attemptsMade: number
  scheduledAttemptsMade: number
  nextAttemptAt: string | null
  version: string | null
  occurredAt: string | null
  /** An example that `endpointTest` made; null when the event is gone. */
  isTest: boolean | null
  payload: string | null
}

type EndpointRow = {
  id: EndpointId
  tenantId: TenantId
  url: string
  description: string | null
  method: HttpMethod
  state: EndpointState
  timeoutSeconds: number
  retryPolicy: StoredRetryPolicy | null
  ratePerSecond: number | null
  ordering: Ordering
  format: PayloadFormat
  /** The key of its tenant. */
  tenant: string
  signsStandard: boolean
  alsoSigns: StoredSignature[] | null
  secrets: Buffer[] | null
  /** None where it is not signed with them. */
  privateKeys: Buffer[] | null
  credentialParts: CredentialPart[] | null
  credentials: Buffer[] | null
}

// Of making bodies: then somebody else has a turn in this process.
const TURN_MS = 10

/** Reads what a batch of claims needs: two statements for the whole batch, in one round trip. */
export async function prepare(
  sql: Sql,
  sealer: Sealer,
  clock: Clock,
  claims: readonly Claim<DeliverTicket>[],
): Promise<PreparedBatch> {
  const [deliveries, endpoints] = await Promise.all([
    readDeliveries(sql, claims),
    readEndpoints(sql, claims, clock.now()),
  ])
  const batch: PreparedBatch = { ready: [], held: [], idle: [], broken: [] }
  const open = createOpening(sealer)
  const format = createFormatting()
  let turn = performance.now()
  for (const claim of claims) {
    // Large payloads as XML take 50 ms each.
    if (performance.now() - turn > TURN_MS) {
      await setImmediate()
      turn = performance.now()
    }
    const row = deliveries.get(claim.data.delivery)
    const endpoint = endpoints.get(claim.data.endpoint)
    // The row is the truth: it names its ticket. Settled, cancelled or re-admitted meanwhile, it names another or none.
    if (row?.ticketId !== claim.id || !endpoint) batch.idle.push(claim)
    // A test is asked for to see whether the endpoint is well again: it goes whatever the endpoint's state.
    else if (endpoint.state !== 'ACTIVE' && !row.isTest) batch.held.push(claim)
    else assemble(batch, claim, row, endpoint, open, format)
  }
  return batch
}

function assemble(
  batch: PreparedBatch,
  claim: Claim<DeliverTicket>,
  row: DeliveryRow,
  endpoint: EndpointRow,
  open: ReturnType<typeof createOpening>,
  formatted: ReturnType<typeof createFormatting>,
): void {
  const { url, description, method, timeoutSeconds, retryPolicy, ratePerSecond, ordering, format, tenant } = endpoint
  const { eventId, eventType } = row
  const webhookId = publicId('evt', eventId)
  const prepared: Prepared = {
    claim,
    delivery: deliveryOf(row),
    endpoint: {
      ...{ url, description, method, timeoutSeconds, retryPolicy, ratePerSecond, ordering, format },
      signing: { standard: endpoint.signsStandard, also: endpoint.alsoSigns ?? [], secrets: [], privateKeys: [] },
      credentials: NO_CREDENTIALS,
    },
    webhookId,
    headers: [],
    body: Buffer.alloc(0),
  }
  try {
    if (row.payload === null || row.occurredAt === null) throw new Error('The event is no longer kept')
    const { secrets, privateKeys, credentials } = open(endpoint)
    Object.assign(prepared.endpoint, { signing: { ...prepared.endpoint.signing, secrets, privateKeys }, credentials })
    const { version, payload } = row
    const isTest = row.isTest === true
    const createdAt = toDate(row.occurredAt)
    Object.assign(
      prepared,
      formatted(format, { id: webhookId, type: eventType, version, createdAt, tenant, isTest, payload }),
    )
    batch.ready.push(prepared)
  } catch (error) {
    batch.broken.push({ prepared, error })
  }
}

/** Makes each body once for all of its deliveries in a batch. */
function createFormatting() {
  const made = new Map<string, FormattedBody>()
  return (format: PayloadFormat, event: FormattableEvent): FormattedBody => {
    const key = `${format} ${event.id}`
    const known = made.get(key) ?? formatEvent(format, event)
    made.set(key, known)
    return known
  }
}

/** Opens what an endpoint keeps sealed, once for all of its deliveries in a batch. */
function createOpening(sealer: Sealer) {
  type Opened = Pick<Signing, 'secrets' | 'privateKeys'> & { credentials: EndpointCredentials }
  const opened = new Map<EndpointId, Opened>()
  return ({ id, tenantId, secrets, privateKeys, credentialParts, credentials }: EndpointRow) => {
    const known = opened.get(id)
    if (known) return known
    const [context, keyContext] = [secretContext(tenantId, id), signingKeyContext(tenantId, id)]
    const parts = (credentialParts ?? []).map((part, index) => ({ part, sealed: credentials?.[index] as Buffer }))
    const now = {
      secrets: (secrets ?? []).map((sealed) => sealer.open(sealed, context)),
      privateKeys: (privateKeys ?? []).map((sealed) => sealer.open(sealed, keyContext)),
      credentials: openCredentials(sealer, { tenantId, endpointId: id }, parts),
    }
    opened.set(id, now)
    return now
  }
}

function deliveryOf(row: DeliveryRow): Prepared['delivery'] {
  const { id, tenantId, eventId, endpointId, eventType, lane, state, replayed } = row
  const { attemptsMade, scheduledAttemptsMade } = row
  // Once a test, always a test, also when it is sent again by hand: it has no consequences.
  const trigger = row.isTest ? 'TEST' : (row.requestedTrigger ?? (row.replayed ? 'REPLAY' : 'SCHEDULE'))
  const sequence = row.sequence === null ? null : Number(row.sequence)
  const nextAttemptAt = toDate(row.nextAttemptAt)
  const ids = { id, tenantId, eventId, endpointId, eventType }
  return { ...ids, lane, sequence, state, trigger, replayed, attemptsMade, scheduledAttemptsMade, nextAttemptAt }
}

async function readDeliveries(
  sql: Sql,
  claims: readonly Claim<DeliverTicket>[],
): Promise<Map<DeliveryId, DeliveryRow>> {
  const ids = claims.map((claim) => claim.data.delivery)
  const { lowest, highest } = boundsOf(ids)
  const rows = await sql<DeliveryRow[]>`
    select delivery.id, ticket_id as "ticketId", delivery.tenant_id as "tenantId", event_id as "eventId",
      endpoint_id as "endpointId", event_type as "eventType", lane, sequence, state, requested_trigger as "requestedTrigger",
      replay_id is not null as replayed,
      attempts_made as "attemptsMade", scheduled_attempts_made as "scheduledAttemptsMade", next_attempt_at as "nextAttemptAt",
      event.version, event.occurred_at as "occurredAt", event.is_test as "isTest", event.payload
    from postrider.deliveries delivery
    left join lateral (
      select version, occurred_at, is_test, payload from postrider.events join postrider.event_payloads using (id)
      where id = delivery.event_id and id between ${lowestIdAt(timeOf(lowest))} and ${highestIdAt(timeOf(highest))}
      -- Keeps it a look-up for each delivery: merged into the join, it may become a scan of all events between the bounds.
      offset 0
    ) event on true
    where delivery.id = any(${ids as never}::uuid[]) and delivery.id between ${lowest} and ${highest} and ticket_id is not null`
  return new Map(rows.map((row) => [row.id, row]))
}

async function readEndpoints(
  sql: Sql,
  claims: readonly Claim<DeliverTicket>[],
  now: Date,
): Promise<Map<EndpointId, EndpointRow>> {
  const ids = [...new Set(claims.map((claim) => claim.data.endpoint))]
  const rows = await sql<EndpointRow[]>`
    select endpoint.id, tenant_id as "tenantId", url, description, method, state, timeout_seconds as "timeoutSeconds",
      retry_policy as "retryPolicy", rate_per_second as "ratePerSecond", ordering, format,
      (select key from postrider.tenants where id = endpoint.tenant_id) as tenant,
      signs_standard as "signsStandard", also_signs as "alsoSigns", signing.secrets, pairs.keys as "privateKeys",
      proof.parts as "credentialParts", proof.sealed as credentials
    from postrider.endpoints endpoint
    cross join lateral (
      select array_agg(sealed order by created_at desc, id desc) as secrets from postrider.secrets
      where endpoint_id = endpoint.id and (signs_until is null or signs_until > ${now.toISOString()})
    ) signing
    cross join lateral (
      select array_agg(sealed order by signs_from desc, id desc) as keys from postrider.signing_keys
      where endpoint.signs_ed25519 and tenant_id = endpoint.tenant_id and endpoint_id = endpoint.id
        and signs_from is not null and (signs_until is null or signs_until > ${now.toISOString()})
    ) pairs
    cross join lateral (
      select array_agg(part order by part) as parts, array_agg(sealed order by part) as sealed
      from postrider.endpoint_credentials where endpoint_id = endpoint.id
    ) proof
    where endpoint.id = any(${ids as never}::uuid[]) and deleted_at is null`
  return new Map(rows.map((row) => [row.id, row]))
}
