import { eq } from 'drizzle-orm'
import { onTestFinished } from 'vitest'
import { type EndpointId, type EventId, newId, type TenantId } from '../../schema/ids.ts'
import { attempts } from '../../schema/tables/attempts.ts'
import { deliveries } from '../../schema/tables/deliveries.ts'
import { endpoints, type StoredRetryPolicy } from '../../schema/tables/endpoints.ts'
import { createFeedCursors } from '../../src/attempts/cursor.ts'
import { createFeed } from '../../src/attempts/feed.ts'
import { createAccessTokens } from '../../src/deliveries/access-tokens.ts'
import { createRedeliverer } from '../../src/deliveries/redeliver.ts'
import { parseNetworks } from '../../src/egress/address-rules.ts'
import { createEgress, type EgressOptions } from '../../src/egress/request.ts'
import type { HealthRules } from '../../src/endpoints/health.ts'
import { longestScheduleSeconds } from '../../src/endpoints/retry-schedule.ts'
import { secretContext } from '../../src/endpoints/secrets.ts'
import { createCatalogue } from '../../src/event-types/catalogue.ts'
import { createPublisher, type Published } from '../../src/events/publish.ts'
import { install } from '../../src/install.ts'
import { type Log, silentLog } from '../../src/log.ts'
import { type Address, type Db, openClient, type PoolOptions } from '../../src/postgres/client.ts'
import type { Clock } from '../../src/postgres/clock.ts'
import type { Retention } from '../../src/postgres/days.ts'
import { createScans } from '../../src/postgres/scans.ts'
import type { TicketQueue } from '../../src/queue/tickets.ts'
import { createWake } from '../../src/queue/wake.ts'
import { createReplayProgress } from '../../src/replays/progress.ts'
import { parseMasterKeys } from '../../src/sealing/master-keys.ts'
import { createSealer } from '../../src/sealing/sealer.ts'
import { startWorker } from '../../src/worker.ts'
import { createDatabase, openDatabase } from './database.ts'
import { viewerOf } from './viewer.ts'

export const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
export const KEYS = parseMasterKeys(Buffer.alloc(32, 7).toString('base64'))

const DEFAULT_HEALTH_RULES: HealthRules = {
  failingAfterSeconds: 300,
  disableAfterSeconds: 432_000,
  disableAfterAttempts: 20,
}

/** A clock that tests move by hand; it runs on from there. */
export function movableClock(): Clock & { forward(ms: number): void } {
  let offset = 0
  return {
    now: () => new Date(Date.now() + offset),
    forward(ms) {
      offset += ms
    },
  }
}

export type EngineOptions = {
  address?: Exclude<Address, string>
  clock?: Clock
  concurrency?: number
  log?: Log
  worker?: boolean
  /** What its egress does otherwise than to deliver into loopback. */
  egress?: Partial<EgressOptions>
  healthRules?: HealthRules
  retention?: Retention
  pool?: Partial<PoolOptions>
  /** How long a stop waits for what is in flight. */
  stopWithinMs?: number
  /** Between the feed's heartbeats. */
  heartbeatMs?: number
  replaysPerSecond?: number
  /** As in POSTRIDER_UNKNOWN_EVENT_TYPES. */
  refusesUnknown?: boolean
  /** As in POSTRIDER_ALLOW_NETWORKS. */
  allowNetworks?: string
}

/** The engine of one process on a real database, without the API: publisher, feed, and a worker unless told not to. */
export async function startEngine(options: EngineOptions = {}) {
  const address = options.address ?? (await createDatabase())
  const clock = options.clock ?? { now: () => new Date() }
  const log = options.log ?? silentLog
  const db = await openDatabase(address, options.pool)
  const { queue, epoch, defaultTenantId, operationsTenantId } = await install(db, clock, {
    db,
    log,
    supervise: options.worker !== false,
  })
  const retention = options.retention ?? { days: 30, bodyDays: 30 }
  const healthRules = options.healthRules ?? DEFAULT_HEALTH_RULES
  const wake = await createWake(await openClient(address, { max: 2, name: 'wake', log }), log)
  const { tickets } = queue
  const sealer = createSealer(KEYS)
  const urlRules = {
    allowNetworks: parseNetworks(options.allowNetworks ?? '127.0.0.0/8'),
    allowHosts: new Set<string>(),
    httpsOnly: false,
  }
  const egress = createEgress({ ...urlRules, ...options.egress })
  const catalogue = createCatalogue({ sql: db.sql, wake, refusesUnknown: options.refusesUnknown ?? false })
  const common = { db, tickets, wake, clock, log, catalogue }
  const publisher = createPublisher({ ...common, maxPayloadBytes: 262_144, idempotencyHours: 24 })
  const heartbeat = options.heartbeatMs === undefined ? {} : { heartbeatMs: options.heartbeatMs }
  const cursorsOf = createFeedCursors(KEYS, epoch)
  const feed = createFeed({ db, wake, clock, log, cursorsOf, ...heartbeat })
  const replayProgress = createReplayProgress({ db, wake, log })
  const redeliverer = createRedeliverer({ db, tickets, wake, clock })
  const worker =
    options.worker === false
      ? null
      : await startWorker({
          db,
          queue,
          wake,
          clock,
          log,
          egress,
          sealer,
          concurrency: options.concurrency ?? 256,
          healthRules,
          retention,
          operationsTenantId,
          ...(options.replaysPerSecond ? { replaysPerSecond: options.replaysPerSecond } : {}),
        })
  let stopped = false
  const stop = async () => {
    if (stopped) return
    stopped = true
    await worker?.stop(new Date(Date.now() + (options.stopWithinMs ?? 5000)))
    feed.close()
    replayProgress.close()
    await queue.close()
    await wake.close()
    await egress.close()
  }
  onTestFinished(stop)
  const addEndpoint = (url: string, settings: EndpointSettings = {}) =>
    insertEndpoint(db, sealer, defaultTenantId, url, settings)
  return {
    address,
    db,
    queue,
    scans: createScans(db),
    tickets,
    wake,
    clock,
    catalogue,
    publisher,
    feed,
    cursorsOf,
    replayProgress,
    redeliverer,
    sealer,
    egress,
    tokens: createAccessTokens({ egress, clock }),
    urlRules,
    longestScheduleSeconds: longestScheduleSeconds(retention.bodyDays),
    healthRules,
    retention,
    operationsTenantId,
    tenantId: defaultTenantId,
    /** Who changes things of this tenant, and of all of them. */
    viewer: viewerOf(defaultTenantId),
    admin: viewerOf(null),
    addEndpoint,
    /** Publishes this many events at once and returns their ids. */
    async publish(count = 1, type = 'invoice.paid'): Promise<EventId[]> {
      const inputs = Array.from({ length: count }, (_, index) => ({
        tenantId: defaultTenantId,
        type,
        payload: { index },
      }))
      const results = await publisher.publishBatch(inputs)
      return results.map((result) => (result as Published).eventId)
    },
    /** All deliveries, oldest first, or those of one endpoint. */
    deliveries: (endpoint?: EndpointId): Promise<Delivery[]> =>
      db.orm
        .select()
        .from(deliveries)
        .where(endpoint && eq(deliveries.endpointId, endpoint))
        .orderBy(deliveries.id),
    /** All attempts in the order of the feed. */
    attempts: (): Promise<Attempt[]> => db.orm.select().from(attempts).orderBy(attempts.position),
    endpoint: async (id: EndpointId): Promise<Endpoint> =>
      (await db.orm.select().from(endpoints).where(eq(endpoints.id, id)))[0] as Endpoint,
    async change(id: EndpointId, changes: Partial<Endpoint>): Promise<void> {
      await db.orm.update(endpoints).set(changes).where(eq(endpoints.id, id))
    },
    /** Seals an endpoint's secret for the tenant it was moved to. */
    async reseal(id: EndpointId, tenantId: TenantId): Promise<void> {
      const sealed = sealer.seal(SECRET, secretContext(tenantId, id))
      await db.sql`update postrider.secrets set sealed = ${sealed}, tenant_id = ${tenantId} where endpoint_id = ${id}`
    },
    /** How many tickets there are in a queue, claimed or not. */
    async ticketsIn(queue: TicketQueue): Promise<number> {
      const [row] = await db.sql<[{ count: number }]>`
        select count(*)::int from postrider_queue.job where name = ${queue} and state in ('created', 'retry', 'active')`
      return row.count
    },
    stop,
  }
}

export type Engine = Awaited<ReturnType<typeof startEngine>>
export type Delivery = typeof deliveries.$inferSelect
export type Attempt = typeof attempts.$inferSelect
type Endpoint = typeof endpoints.$inferSelect

type EndpointSettings = {
  maxInFlight?: number
  timeoutSeconds?: number
  retryPolicy?: StoredRetryPolicy
  eventTypes?: string[]
}

async function insertEndpoint(
  db: Db,
  sealer: ReturnType<typeof createSealer>,
  tenantId: TenantId,
  url: string,
  { maxInFlight = 20, timeoutSeconds = 15, retryPolicy, eventTypes }: EndpointSettings,
): Promise<EndpointId> {
  const id = newId<'ep'>(new Date())
  await db.sql`insert into postrider.endpoints (id, tenant_id, url, event_types, retry_policy, timeout_seconds, max_in_flight, created_at, updated_at)
    values (${id}, ${tenantId}, ${url}, ${eventTypes ?? null}, ${retryPolicy ? JSON.stringify(retryPolicy) : null}::text::jsonb,
      ${timeoutSeconds}, ${maxInFlight}, now(), now())`
  const sealed = sealer.seal(SECRET, secretContext(tenantId, id))
  await db.sql`insert into postrider.secrets (id, tenant_id, endpoint_id, sealed, created_at) values (${newId(new Date())}, ${tenantId}, ${id}, ${sealed}, now())`
  return id
}
