import {
  type AttemptId,
  type DeliveryId,
  type EndpointId,
  type EventId,
  newId,
  publicId,
  type TenantId,
} from '../../schema/ids.ts'
import { OPERATIONS_TENANT, type OperationalEventType } from '../../schema/operational-events.ts'
import type { AttemptErrorClass } from '../../schema/outcomes.ts'
import type { DisabledReason, FailedReason } from '../../schema/states.ts'
import type { Tx } from '../postgres/client.ts'
import { together } from '../postgres/together.ts'
import type { Tickets } from '../queue/tickets.ts'
import { ORDINARY } from './bursts.ts'
import { insertEvents, type NewEvent } from './write.ts'

/** Something about Postrider itself that its tenants can be told of. */
export type News = {
  tenantId: TenantId
  endpoint: { id: EndpointId; url: string; description: string | null }
  /** Null where none was made. */
  lastAttempt: {
    id: AttemptId
    status: number | null
    errorClass: AttemptErrorClass | null
    errorMessage: string | null
  } | null
} & (
  | { type: 'endpoint.failing'; failingSince: Date; failedAttempts: number }
  | { type: 'endpoint.recovered' }
  | { type: 'endpoint.disabled'; reason: DisabledReason; failingSince: Date | null; failedAttempts: number }
  | {
      type: 'delivery.failed'
      reason: FailedReason
      delivery: { id: DeliveryId; attemptsMade: number }
      event: { id: EventId; type: string }
    }
)

/**
 * Publishes news as events, in the transaction that brought them about: to the tenant it happened to, and a copy to the
 * tenant `operations`, if anybody listens there. Who gets them is for routing to decide, as with every event.
 */
export async function announce(tx: Tx, tickets: Tickets, news: readonly News[], now: Date): Promise<void> {
  if (news.length === 0) return
  const tenants = await readTenants(tx, news)
  const operations = await listeningOperations(tx)
  const events = news.flatMap((one) => {
    const tenant = tenants.get(one.tenantId)
    const payload = JSON.stringify({ tenant: tenant?.key, ...payloadOf(one) })
    // There may be a million dead letters, and nobody who wants to hear of each.
    const own = one.type !== 'delivery.failed' || tenant?.hearsOfDeliveries ? [one.tenantId] : []
    const copy = operations !== null && operations !== one.tenantId ? [operations] : []
    return [...own, ...copy].map((tenantId) => eventOf(tenantId, one.type, payload, now))
  })
  if (events.length === 0) return
  await together([
    insertEvents(tx, events),
    tickets.enqueue(tx, 'outbox', [
      { id: newId(now), priority: ORDINARY, data: { events: events.map(({ id }) => id) } },
    ]),
  ])
}

function eventOf(tenantId: TenantId, type: OperationalEventType, payload: string, now: Date): NewEvent {
  return { id: newId(now), tenantId, type, version: null, channels: [], orderingKey: null, occurredAt: now, payload }
}

/** As `schema/operational-events.ts` describes it. */
function payloadOf(news: News): object {
  const { id, url, description } = news.endpoint
  const { lastAttempt } = news
  const common = { endpoint: { id: publicId('ep', id), url, description } }
  const last_attempt = lastAttempt && {
    id: publicId('att', lastAttempt.id),
    status: lastAttempt.status,
    error_class: lastAttempt.errorClass,
    error_message: lastAttempt.errorMessage,
  }
  if (news.type === 'endpoint.recovered') return { ...common, last_attempt }
  if (news.type === 'delivery.failed') {
    const delivery = { id: publicId('dlv', news.delivery.id), attempts_made: news.delivery.attemptsMade }
    const event = { id: publicId('evt', news.event.id), type: news.event.type }
    return { ...common, reason: news.reason, delivery, event, last_attempt }
  }
  const streak = { failing_since: news.failingSince?.toISOString() ?? null, failed_attempts: news.failedAttempts }
  const reason = news.type === 'endpoint.disabled' ? { reason: news.reason } : {}
  return { ...common, ...reason, ...streak, last_attempt }
}

type Listening = { key: string; hearsOfDeliveries: boolean }

async function readTenants(tx: Tx, news: readonly News[]): Promise<Map<TenantId, Listening>> {
  const ids = [...new Set(news.map(({ tenantId }) => tenantId))]
  const rows = await tx<(Listening & { id: TenantId })[]>`
    select id, key, key = ${OPERATIONS_TENANT} or exists (
      select from postrider.endpoints where tenant_id = tenant.id and deleted_at is null
        and event_types && array['delivery.failed', 'delivery.*']
    ) as "hearsOfDeliveries"
    from postrider.tenants tenant where id = any(${ids as never}::uuid[])`
  return new Map(rows.map((row) => [row.id, row]))
}

/** The tenant `operations`, or null while it has no endpoint. */
async function listeningOperations(tx: Tx): Promise<TenantId | null> {
  const [row] = await tx<{ id: TenantId }[]>`
    select id from postrider.tenants tenant where key = ${OPERATIONS_TENANT}
      and exists (select from postrider.endpoints where tenant_id = tenant.id and deleted_at is null)`
  return row?.id ?? null
}
