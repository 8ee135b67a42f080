import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type EndpointId, newId, type TenantId } from '../../schema/ids.ts'
import { parseNetworks } from '../../src/egress/address-rules.ts'
import { createEgress } from '../../src/egress/request.ts'
import { secretContext } from '../../src/endpoints/secrets.ts'
import { createPublisher } from '../../src/events/publish.ts'
import { install } from '../../src/install.ts'
import { createLog } from '../../src/log.ts'
import { openClient, openPool } from '../../src/postgres/client.ts'
import { startEmbeddedPostgres } from '../../src/postgres/embedded.ts'
import { createWake } from '../../src/queue/wake.ts'
import { parseMasterKeys } from '../../src/sealing/master-keys.ts'
import { createSealer } from '../../src/sealing/sealer.ts'
import { startWorker } from '../../src/worker.ts'

/**
 * What 100 healthy endpoints notice of their neighbours: alone and then beside endpoints that hang until their timeout (sent as
 * many events each, all of them together half of what the system can take), beside a tenant that publishes 100,000 events at
 * once, and beside a million waiting deliveries of a dead endpoint. All in one run; what counts is the ratio to the same
 * healthy endpoints alone, at the same rate.
 */
const SECONDS = Number(process.argv[2] ?? 15)
const WELL = 100
const BURST = 100_000
const WAITING = 1_000_000
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const clock = { now: () => new Date() }
const log = createLog('error')

const dataDir = await mkdtemp(join(tmpdir(), 'postrider-bench-'))
const postgres = await startEmbeddedPostgres({ dataDir, log, shelter: `${dataDir}-shelter` })
const receiver = fork(new URL('./isolation-receiver.ts', import.meta.url))
const [{ port }] = (await once(receiver, 'message')) as [{ port: number }]
type Row = Seen & { rate: number; reference: string }
type Seen = { count: number; p50: number; p99: number; worst: number; others: number }
const seen = async () => {
  receiver.send('report')
  return ((await once(receiver, 'message')) as [Seen])[0]
}

const db = await openPool(postgres.address, { max: 10, name: 'api', log })
// A million rows take longer than a statement may.
const bulk = await openPool(postgres.address, { max: 1, name: 'bulk', log, statementTimeoutMs: 0 })
const workerDb = await openPool(postgres.address, { max: 8, name: 'worker', log, byId: true })
const installed = await install(db, clock, { db: workerDb, log, supervise: true })
const { tickets } = installed.queue
const sealer = createSealer(parseMasterKeys(Buffer.alloc(32, 7).toString('base64')))
const wake = await createWake(await openClient(postgres.address, { max: 2, name: 'wake', log }), log)
const egress = createEgress({ allowNetworks: parseNetworks('127.0.0.0/8') })
const publisher = createPublisher({ db, tickets, wake, clock, log, maxPayloadBytes: 262_144, idempotencyHours: 24 })
const healthRules = { failingAfterSeconds: 300, disableAfterSeconds: 432_000, disableAfterAttempts: 20 }
const worker = await startWorker({
  ...installed,
  db: workerDb,
  wake,
  clock,
  log,
  egress,
  sealer,
  concurrency: 256,
  healthRules,
  retention: { days: 30, bodyDays: 30 },
})

const tenant = installed.defaultTenantId
const noisy = newId<'ten'>(new Date())
await db.sql`insert into postrider.tenants (id, key, created_at) values (${noisy}, 'noisy', now())`

try {
  for (let n = 0; n < WELL; n++) await addEndpoint(tenant, '/well', `well.n${n}`)
  const most = await capacity()
  const rows: Record<string, Row> = {}
  const measure = async (what: string, rate: number, reference: string, beside: string[] = []) => {
    await seen()
    const startedAt = performance.now()
    await publishFor(SECONDS, rate, beside)
    const seconds = (performance.now() - startedAt) / 1000
    const result = await seen()
    rows[what] = { ...result, rate: result.count / seconds, reference }
    console.log(what, rows[what])
  }
  const half = Math.floor(most / 2)

  const hanging: string[] = []
  for (const share of [0.1, 0.5]) {
    const rate = Math.floor(half * (1 - share))
    const alone = `alone, ${rate}/s`
    await measure(alone, rate, alone)
    const wanted = Math.round((WELL * share) / (1 - share))
    for (let n = hanging.length; n < wanted; n++) {
      await addEndpoint(tenant, '/hang', `hang.n${n}`)
      hanging.push(`hang.n${n}`)
    }
    await measure(`beside ${share * 100} % that hang`, rate, alone, hanging)
  }
  await forget('/hang')
  const alone = `alone, ${half}/s`
  await measure(alone, half, alone)

  await addEndpoint(noisy, '/busy', '*')
  const burst = publishBurst()
  await measure(`beside a burst of ${BURST}`, half, alone)
  await burst
  await forget('/busy')
  await addWaiting(await addEndpoint(noisy, '/hang', 'waiting'))
  await measure(`beside ${WAITING} that wait`, half, alone)

  console.log(`${WELL} healthy endpoints, half of ${Math.round(most)} deliveries/s, with those that hang:`)
  console.table(
    Object.fromEntries(Object.entries(rows).map(([what, row]) => [what, inWords(row, rows[row.reference])])),
  )
} finally {
  await worker.stop(new Date(Date.now() + 1000))
  await installed.queue.close()
  await wake.close()
  await egress.close()
  await Promise.all([db.close(), workerDb.close(), bulk.close()])
  receiver.disconnect()
  await postgres.stop()
  await rm(dataDir, { recursive: true, force: true })
  await rm(`${dataDir}-shelter`, { recursive: true, force: true })
}

function inWords({ rate, p50, p99, worst }: Row, alone: Row | undefined) {
  return {
    'deliveries/s': Math.round(rate),
    'throughput ratio': (rate / (alone?.rate ?? 0)).toFixed(2),
    'p50 ms': p50,
    'p99 ms': p99,
    'p99 ratio': (p99 / (alone?.p99 ?? 0)).toFixed(2),
    'worst ms': worst,
  }
}

async function addEndpoint(tenantId: TenantId, path: string, type: string): Promise<EndpointId> {
  const id = newId<'ep'>(new Date())
  await db.sql`insert into postrider.endpoints (id, tenant_id, url, event_types, timeout_seconds, max_in_flight, created_at, updated_at)
    values (${id}, ${tenantId}, ${`http://127.0.0.1:${port}${path}`}, ${[type]}, 5, 20, now(), now())`
  const sealed = sealer.seal(SECRET, secretContext(tenantId, id))
  await db.sql`insert into postrider.secrets (id, tenant_id, endpoint_id, sealed, created_at) values (${newId(new Date())}, ${tenantId}, ${id}, ${sealed}, now())`
  return id
}

/** Deletes endpoints one by one: the engine locks them in an order, and one statement for all would not. */
async function forget(path: string): Promise<void> {
  const rows = await db.sql<{ id: EndpointId }[]>`select id from postrider.endpoints where url like ${`%${path}`}`
  for (const { id } of rows) {
    await db.sql`update postrider.endpoints set deleted_at = now(), backlog = true where id = ${id}`
  }
}

/** How many events a second go all the way when as many are published as can be. */
async function capacity(): Promise<number> {
  await publishFor(2, 1000, [])
  await seen()
  const startedAt = performance.now()
  const loop = async (from: number) => {
    for (let n = from; n < 10_000; n += 64) await publish(`well.n${n % WELL}`)
  }
  await Promise.all(Array.from({ length: 64 }, (_, from) => loop(from)))
  let count = 0
  while (count < 10_000) count += (await seen()).count
  return 10_000 / ((performance.now() - startedAt) / 1000)
}

/** Publishes at a steady rate to the healthy endpoints, one after another, and as often to each of the others. */
async function publishFor(seconds: number, rate: number, beside: readonly string[]): Promise<void> {
  const startedAt = performance.now()
  let published = 0
  const pending = new Set<Promise<unknown>>()
  const send = (type: string) => {
    const one = publish(type).finally(() => pending.delete(one))
    pending.add(one)
  }
  for (;;) {
    const elapsed = (performance.now() - startedAt) / 1000
    for (const due = Math.floor(Math.min(elapsed, seconds) * rate); published < due; published++) {
      send(`well.n${published % WELL}`)
      const other = beside[published % WELL]
      if (other !== undefined) send(other)
    }
    if (elapsed >= seconds) break
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await Promise.all(pending)
}

function publish(type: string) {
  return publisher.publish({ tenantId: tenant, type, payload: { n: 1 } })
}

async function publishBurst(): Promise<void> {
  const events = Array.from({ length: 500 }, () => ({ tenantId: noisy, type: 'noise', payload: { n: 1 } }))
  for (let n = 0; n < BURST; n += events.length) await publisher.publishBatch(events)
}

async function addWaiting(endpoint: EndpointId): Promise<void> {
  const event = newId<'evt'>(new Date())
  await bulk.sql`insert into postrider.events (id, tenant_id, type, channels, occurred_at, routed_at)
    values (${event}, ${noisy}, 'waiting', '{}', now(), now())`
  await bulk.sql`insert into postrider.event_payloads (id, payload) values (${event}, '{}')`
  await bulk.sql`insert into postrider.deliveries (id, tenant_id, event_id, endpoint_id, event_type, waiting_for, created_at)
    select (substr(${event}, 1, 14) || '7' || substr(md5(n::text), 1, 3) || '-8' || substr(md5(n::text), 4, 3) || '-' || substr(md5(n::text), 7, 12))::uuid,
      ${noisy}, ${event}, ${endpoint}, 'waiting', 'ALLOWANCE', now()
    from generate_series(1, ${WAITING}::int) n on conflict do nothing`
  await bulk.sql`update postrider.endpoints set backlog = true where id = ${endpoint}`
  await bulk.sql`vacuum analyze`
  wake.signal('promote')
}
