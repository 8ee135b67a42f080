import { createFeedCursors } from './attempts/cursor.ts'
import { createFeed } from './attempts/feed.ts'
import type { Config } from './config.ts'
import { createRedeliverer } from './deliveries/redeliver.ts'
import { parseNetworks } from './egress/address-rules.ts'
import { parseProxy } from './egress/proxy-url.ts'
import { createEgress, type EgressOptions } from './egress/request.ts'
import { parseHosts, type UrlRules } from './egress/url-rules.ts'
import { longestScheduleSeconds } from './endpoints/retry-schedule.ts'
import { createCatalogue } from './event-types/catalogue.ts'
import { createPublisher } from './events/publish.ts'
import { savePublishRules } from './events/publish-in-sql.ts'
import { createCapabilities } from './graphql/capabilities.ts'
import { buildSchema } from './graphql/schema.ts'
import { startHealthServer } from './http/health.ts'
import type { HttpServer } from './http/listening.ts'
import { createHttpServer } from './http/server.ts'
import { type Installed, install } from './install.ts'
import type { Log } from './log.ts'
import { type Address, type Db, openClient, openPool, type PoolOptions } from './postgres/client.ts'
import { type Clock, keepTime } from './postgres/clock.ts'
import { withOutages } from './postgres/outage.ts'
import { checkDatabase } from './postgres/preflight.ts'
import { WORKER_POOL } from './postgres/presence.ts'
import { reachPostgres } from './postgres/reach.ts'
import { createScans, SCANS_POOL } from './postgres/scans.ts'
import type { QueueOptions } from './queue/open.ts'
import { createWake, type Wake } from './queue/wake.ts'
import { createReplayProgress } from './replays/progress.ts'
import { keepMakingPartitions } from './retention/partitions.ts'
import { checkMasterKeys, hasMetMasterKeys } from './sealing/key-check.ts'
import { sessionName } from './sealing/known-keys.ts'
import { loadMasterKeys, type MasterKey, parseMasterKeys } from './sealing/master-keys.ts'
import { createSealer, type Sealer } from './sealing/sealer.ts'
import { ensureFirstKey } from './tenants/first-key.ts'
import { createKeyUsage } from './tenants/key-usage.ts'
import { findLiving } from './tenants/living.ts'
import { createCallerWatch } from './tenants/watch.ts'
import { type Finished, startWorker, type Worker } from './worker.ts'

export type App = {
  /** Resolves when the API answers and deliveries move. When it rejects, everything it had begun is ended again. */
  start(): Promise<Started>
  /** Takes nothing more, finishes what is in flight within `withinMs`, and ends. */
  stop(withinMs?: number): Promise<Partial<Finished>>
}

export type Started = {
  /** Where the API listens, or a worker alone with its health; null where nothing does. */
  url: string | null
  /** The admin key made on a fresh installation: shown this once, kept nowhere. */
  firstKey: string | null
}

/** What tests put in the place of the real thing. */
export type Overrides = { clock?: Clock; postgresBinDir?: string } & Pick<
  QueueOptions,
  'claimSeconds' | 'superviseSeconds'
>

// Beyond the deadline, for what ends itself in less: pools, the embedded Postgres.
const END_WITHIN_MS = 6000
/** Puts the parts together; nothing runs before `start`. */
export function createApp(config: Config, plainLog: Log, overrides: Overrides = {}): App {
  const log = withOutages(plainLog)
  const finished: Partial<Finished> = {}
  // Ended in the opposite order of how they were begun.
  const ends: ((deadline: Date) => Promise<unknown> | unknown)[] = []
  const stop = async (withinMs = config.shutdownSeconds * 1000) => {
    const deadline = new Date(Date.now() + withinMs)
    for (const end of ends.splice(0).reverse()) {
      await Promise.race([Promise.resolve(end(deadline)), tooLong(deadline)]).catch((err) =>
        log.error({ err }, 'Something could not be ended cleanly'),
      )
    }
    return finished
  }
  return {
    async start() {
      try {
        return await start({ config, log, overrides, finished, onEnd: (end) => ends.push(end) })
      } catch (error) {
        await stop(1000)
        throw error
      }
    },
    stop,
  }
}

/** Nothing may keep the process for good, such as a database that does not even refuse. */
function tooLong(deadline: Date): Promise<never> {
  const ms = Math.max(0, deadline.getTime() - Date.now()) + END_WITHIN_MS
  return new Promise((_, reject) => setTimeout(() => reject(new Error('It took too long')), ms).unref())
}

type StartContext = {
  config: Config
  log: Log
  overrides: Overrides
  /** What a stop brought to its end. */
  finished: Partial<Finished>
  onEnd(end: (deadline: Date) => unknown): void
}

async function start(context: StartContext): Promise<Started> {
  const { config, log, overrides, onEnd } = context
  const urlRules = urlRulesOf(config)
  const { address, alone } = await reachPostgres({ ...context, binDir: overrides.postgresBinDir })
  const db = await pool(context, address, { name: 'api', max: 10 })
  await checkDatabase(db)
  const clock = overrides.clock ?? (await keepTime(db.sql, log, onEnd))
  const worker = config.role === 'api' ? null : await pool(context, address, { name: WORKER_POOL, max: 8, byId: true })
  const installed = await installAll(context, address, clock, worker ?? db)
  if (alone) await releaseClaims(installed.queue, log)
  const keys = await masterKeys(config, db)
  const sealer = createSealer(keys)
  // Its session names the keys. Before they are judged: whoever changes them meanwhile sees this process.
  const wake = await createWake(await openClient(address, { max: 2, name: sessionName(keys), log }), log)
  onEnd(() => wake.close())
  await checkMasterKeys(db.sql, sealer)

  const parts: Parts = { ...installed, db, clock, wake, keys, sealer, urlRules }
  // Asked by the egress at every connection: where it listens is known once it does. A worker beside an API listens nowhere;
  // most likely that API has the same configuration.
  const configured = config.port === 0 ? null : { address: config.host, port: config.port }
  let server: HttpServer | null = null
  if (config.role === 'api') onEnd(keepMakingPartitions(db.sql, clock, log))
  const delivering = worker
    ? await startDelivering(context, { ...parts, db: worker }, () => server?.address() ?? configured)
    : null
  if (config.role !== 'worker') server = await startServing(context, parts, address)
  else if (config.listens) server = await startHealthServer({ config, log, ready: () => db.sql`select 1` })
  // Together: while the API takes its leave, nothing more is claimed.
  onEnd((deadline) => Promise.all([server?.close(), delivering?.stop(deadline)]))
  const url = server?.url() ?? null
  // Last: a key that is made by a start that then fails would never have been shown, and never be made again.
  const firstKey = await ensureFirstKey(db.orm, { given: config.adminKey, now: clock.now() })
  // One that was given before may just have been revoked.
  if (config.adminKey !== null) wake.signal('credentials')
  return { url, firstKey }
}

type Parts = Installed & { db: Db; clock: Clock; wake: Wake; keys: MasterKey[]; sealer: Sealer; urlRules: UrlRules }

function urlRulesOf({ allowNetworks, allowHosts, httpsOnly }: Config): UrlRules {
  return { allowNetworks: parseNetworks(allowNetworks), allowHosts: parseHosts(allowHosts), httpsOnly }
}

type OwnAddress = NonNullable<EgressOptions['ownAddress']>

async function startDelivering(context: StartContext, parts: Parts, ownAddress: OwnAddress): Promise<Worker> {
  const { config, log, onEnd, finished } = context
  const proxy = config.egressProxy === null ? null : parseProxy(config.egressProxy)
  const egress = createEgress({ ...parts.urlRules, proxy, ownAddress, log })
  onEnd(() => egress.close())
  const worker = await startWorker({
    ...parts,
    log,
    egress,
    concurrency: config.workerConcurrency,
    healthRules: config.health,
    retention: config.retention,
  })
  onEnd(async (deadline) => Object.assign(finished, await worker.stop(deadline)))
  return worker
}

async function startServing(context: StartContext, parts: Parts, address: Address): Promise<HttpServer> {
  const { config, log, onEnd } = context
  const { db, queue, epoch, wake, clock, keys } = parts
  const { maxPayloadBytes, idempotencyHours } = config
  const common = { db, tickets: queue.tickets, wake, clock, log }
  const refusesUnknown = config.unknownEventTypes === 'refuse'
  await savePublishRules(db.sql, { maxPayloadBytes, idempotencyHours, refusesUnknownEventTypes: refusesUnknown })
  const catalogue = createCatalogue({ ...common, sql: db.sql, refusesUnknown })
  onEnd(() => catalogue.close())
  const publisher = createPublisher({ ...common, catalogue, maxPayloadBytes, idempotencyHours })
  const feed = createFeed({ ...common, cursorsOf: createFeedCursors(keys, epoch) })
  onEnd(() => feed.close())
  const replayProgress = createReplayProgress(common)
  onEnd(() => replayProgress.close())
  const scans = createScans(await pool(context, address, SCANS_POOL))
  // A connection of its own: while those of the API are all taken, the others need this process all the more.
  const readiness = await pool(context, address, { name: 'readiness', max: 1 })
  const keyUsage = createKeyUsage({ sql: db.sql, log })
  onEnd(() => keyUsage.close())
  const capabilities = createCapabilities({
    ...parts,
    scans,
    log,
    keyUsage,
    longestScheduleSeconds: longestScheduleSeconds(config.retention.bodyDays),
    retention: config.retention,
    tickets: queue.tickets,
    publisher,
    redeliverer: createRedeliverer(common),
    feed,
    replayProgress,
  })
  const callers = createCallerWatch({ ...common, living: (ids, now) => findLiving(db.orm, ids, now) })
  onEnd(() => callers.close())
  const server = createHttpServer({
    config,
    capabilities,
    graphqlSchema: buildSchema(),
    log,
    callers,
    ready: () => readiness.sql`select 1`,
  })
  await server.listen()
  return server
}

async function pool({ log, onEnd }: StartContext, address: Address, options: Omit<PoolOptions, 'log'>): Promise<Db> {
  const db = await openPool(address, { ...options, log })
  onEnd(() => db.close())
  return db
}

async function masterKeys({ masterKeys, dataDir }: Config, db: Db): Promise<MasterKey[]> {
  if (masterKeys !== null) return parseMasterKeys(masterKeys)
  return loadMasterKeys(dataDir, { mayCreate: !(await hasMetMasterKeys(db.sql)) })
}

async function installAll(
  { config, log, overrides, onEnd }: StartContext,
  address: Address,
  clock: Clock,
  queueDb: Db,
): Promise<Installed> {
  const { claimSeconds, superviseSeconds } = overrides
  const db = await openPool(address, { name: 'installation', max: 3, statementTimeoutMs: 0, log })
  try {
    const supervise = config.role !== 'api'
    const installed = await install(db, clock, {
      db: queueDb,
      log,
      supervise,
      ...(claimSeconds ? { claimSeconds } : {}),
      ...(superviseSeconds ? { superviseSeconds } : {}),
    })
    onEnd(() => installed.queue.close())
    return installed
  } finally {
    await db.close()
  }
}

/** Nobody else works here, so whatever is claimed was claimed by the dead: it need not wait for its claim to lapse. */
async function releaseClaims({ tickets }: Installed['queue'], log: Log): Promise<void> {
  const released = await tickets.releaseAll()
  if (released > 0) log.info({ released }, 'Took back what was in flight when the process before this one ended')
}
