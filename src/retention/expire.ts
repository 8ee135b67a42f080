import {
  type AttemptId,
  type DeliveryId,
  type EndpointId,
  type EventId,
  lowestIdAt,
  type TenantId,
} from '../../schema/ids.ts'
import type { AttemptTrigger, DeliveryState } from '../../schema/states.ts'
import { admitDue, boundsOf, lockEndpoints } from '../deliveries/admit.ts'
import { advanceLanes, type Ended } from '../deliveries/lanes.ts'
import { isReservedEventType } from '../event-types/names.ts'
import { announce, type News } from '../events/operational.ts'
import type { Tx } from '../postgres/client.ts'
import { again } from '../postgres/deadlock.ts'
import type { RetentionContext } from './context.ts'

const MOST_AT_ONCE = 200

/**
 * Ends what is still to be sent of events before a moment: what is pending fails as EXPIRED and is announced, what was asked
 * for by hand is called off. Lanes go on behind it, also behind what failed before. Their tickets are nobody's then, and
 * are dropped by who claims them.
 */
export async function expirePending(context: RetentionContext, end: Date): Promise<void> {
  const { db, wake, log } = context
  let expired = 0
  for (;;) {
    const some = await chooseSome(context, end)
    if (some.length === 0) break
    expired += await again(() => db.transaction((tx) => expireSome(tx, context, some)))
    wake.signal('outbox')
  }
  const moved = await passLanes(context, end)
  if (expired + moved === 0) return
  log.info({ expired, lanes: moved }, 'Ended deliveries that are no longer kept')
  wake.signal('promote')
  wake.signal('deliver')
}

type Chosen = { id: DeliveryId; endpoint: EndpointId }

/** Two small indexes find whoever has a ticket or a reason to wait; together in one condition neither would be used. */
function chooseSome({ db }: RetentionContext, end: Date): Promise<Chosen[]> {
  const some = (column: ReturnType<typeof db.sql>) => db.sql`
    select id, endpoint_id as endpoint from postrider.deliveries
    where id < ${lowestIdAt(end.getTime())} and ${column} is not null limit ${MOST_AT_ONCE}`
  return db.sql<Chosen[]>`
    select * from ((${some(db.sql`waiting_for`)}) union all (${some(db.sql`ticket_id`)})) chosen limit ${MOST_AT_ONCE}`
}

type Row = {
  id: DeliveryId
  tenantId: TenantId
  eventId: EventId
  eventType: string
  endpointId: EndpointId
  state: DeliveryState
  requestedTrigger: AttemptTrigger | null
  attemptsMade: number
  lastAttemptId: AttemptId | null
  url: string
  description: string | null
  deleted: boolean
}

async function expireSome(tx: Tx, { tickets, clock }: RetentionContext, chosen: readonly Chosen[]): Promise<number> {
  const now = clock.now()
  await lockEndpoints(tx, [...new Set(chosen.map(({ endpoint }) => endpoint))])
  const rows = await lockRows(tx, chosen)
  if (rows.length === 0) return 0
  const ids = rows.map(({ id }) => id)
  const { lowest, highest } = boundsOf(ids)
  const expired = rows.filter(({ state, deleted }) => state === 'PENDING' && !deleted)
  await tx`
    update postrider.deliveries set
      state = case when state <> 'PENDING' then state when id = any(${expired.map(({ id }) => id) as never}::uuid[]) then 'FAILED' else 'CANCELLED' end,
      failed_reason = case when state = 'PENDING' and id = any(${expired.map(({ id }) => id) as never}::uuid[]) then 'EXPIRED' else failed_reason end,
      settled_at = coalesce(settled_at, ${now.toISOString()}), ticket_id = null, waiting_for = null, next_attempt_at = null,
      requested_trigger = null, requested_at = null, replay_id = null
    where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest}`
  // Not those of operational events, nor of tests: as when their last attempt fails.
  const told = expired.filter((row) => !isReservedEventType(row.eventType) && row.requestedTrigger !== 'TEST')
  await announce(tx, tickets, await newsOf(tx, told), now)
  return expired.length
}

/**
 * Those that are still to be sent; of a deleted endpoint they are only being cancelled, and also where its row is missing: whatever
 * was chosen and is still to be sent is ended, or it would be chosen again for ever.
 */
function lockRows(tx: Tx, chosen: readonly Chosen[]): Promise<Row[]> {
  const ids = chosen.map(({ id }) => id)
  const { lowest, highest } = boundsOf(ids)
  return tx<Row[]>`
    select delivery.id, delivery.tenant_id as "tenantId", event_id as "eventId", event_type as "eventType",
      endpoint_id as "endpointId", delivery.state, requested_trigger as "requestedTrigger", attempts_made as "attemptsMade",
      last_attempt_id as "lastAttemptId", url, description, endpoint.id is null or deleted_at is not null as deleted
    from postrider.deliveries delivery left join postrider.endpoints endpoint on endpoint.id = endpoint_id
    where delivery.id = any(${ids as never}::uuid[]) and delivery.id between ${lowest} and ${highest}
      and (ticket_id is not null or waiting_for is not null)
    order by delivery.id for update of delivery`
}

async function newsOf(tx: Tx, rows: readonly Row[]): Promise<News[]> {
  const attempts = await readAttempts(
    tx,
    rows.flatMap(({ lastAttemptId }) => lastAttemptId ?? []),
  )
  return rows.map((row) => ({
    type: 'delivery.failed',
    reason: 'EXPIRED',
    tenantId: row.tenantId,
    endpoint: { id: row.endpointId, url: row.url, description: row.description },
    delivery: { id: row.id, attemptsMade: row.attemptsMade },
    event: { id: row.eventId, type: row.eventType },
    lastAttempt: attempts.get(row.lastAttemptId as AttemptId) ?? null,
  }))
}

type LastAttempt = NonNullable<News['lastAttempt']>

async function readAttempts(tx: Tx, ids: readonly AttemptId[]): Promise<Map<AttemptId, LastAttempt>> {
  if (ids.length === 0) return new Map()
  const sorted = [...ids].sort()
  const rows = await tx<LastAttempt[]>`
    select id, status, error_class as "errorClass", error_message as "errorMessage" from postrider.attempts
    where id = any(${ids as never}::uuid[]) and id between ${sorted[0] as string} and ${sorted.at(-1) as string}`
  return new Map(rows.map((row) => [row.id, row]))
}

/** Lanes whose turn is with a delivery from before: nobody can send that one any more, so they do not wait for it. */
async function passLanes({ db, tickets, clock }: RetentionContext, end: Date): Promise<number> {
  for (let passed = 0; ; ) {
    const heads = await db.sql<Ended[]>`
      select endpoint_id as endpoint, lane, head as delivery from postrider.lanes
      where head < ${lowestIdAt(end.getTime())} limit ${MOST_AT_ONCE}`
    if (heads.length === 0) return passed
    await again(() =>
      db.transaction(async (tx) => {
        await lockEndpoints(tx, [...new Set(heads.map(({ endpoint }) => endpoint))])
        await admitDue(tx, tickets, await advanceLanes(tx, heads), clock.now())
      }),
    )
    passed += heads.length
  }
}
