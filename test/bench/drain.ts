import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Pool } from 'undici'
import { deliveryIdOf, type EndpointId, type EventId, newId, publicId, type TenantId } from '../../schema/ids.ts'
import { formatEvent } from '../../src/deliveries/formats.ts'
import { signStandard } from '../../src/deliveries/sign.ts'
import { parseNetworks } from '../../src/egress/address-rules.ts'
import { createEgress } from '../../src/egress/request.ts'
import { secretContext } from '../../src/endpoints/secrets.ts'
import { install } from '../../src/install.ts'
import { createLog } from '../../src/log.ts'
import { type Db, openClient, openPool } from '../../src/postgres/client.ts'
import { startEmbeddedPostgres } from '../../src/postgres/embedded.ts'
import { createWake } from '../../src/queue/wake.ts'
import { parseMasterKeys } from '../../src/sealing/master-keys.ts'
import { createSealer } from '../../src/sealing/sealer.ts'
import { startWorker } from '../../src/worker.ts'
import { cpuOf } from './cpu.ts'

/**
 * Drains pending deliveries through one worker, and sends as many requests with the same headers, body and HMAC through a
 * plain undici loop to the same receiver: reference, system, system, reference. The ratio is what counts.
 */
const PENDING = Number(process.argv[2] ?? 10_000)
const ENDPOINTS = 50
const VERBOSE = process.argv.includes('--verbose')
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const PAYLOAD = JSON.stringify({ text: 'x'.repeat(1000) })
const clock = { now: () => new Date() }
const log = createLog('warn')

const dataDir = await mkdtemp(join(tmpdir(), 'postrider-bench-'))
const postgres = await startEmbeddedPostgres({
  dataDir,
  log,
  shelter: `${dataDir}-shelter`,
  settings: { shared_preload_libraries: 'pg_stat_statements' },
})
const postmaster = Number(
  readFileSync(await realpath(join(dataDir, 'postgres', 'postmaster.pid')), 'utf8').split('\n')[0],
)
const receiver = fork(new URL('./receiver-process.ts', import.meta.url))
const [{ port }] = (await once(receiver, 'message')) as [{ port: number }]
const url = `http://127.0.0.1:${port}/hook`
const received = async () => {
  receiver.send('count')
  return ((await once(receiver, 'message')) as [{ received: number }])[0].received
}

try {
  const db = await openPool(postgres.address, { max: 10, name: 'bench', log, byId: true })
  const { queue, defaultTenantId, operationsTenantId } = await install(db, clock, { db, log, supervise: true })
  const sealer = createSealer(parseMasterKeys(Buffer.alloc(32, 7).toString('base64')))
  const endpoints = await addEndpoints(db, defaultTenantId)

  const rates: Record<'reference' | 'system', number[]> = { reference: [], system: [] }
  for (const kind of ['reference', 'system', 'system', 'reference'] as const) {
    const before = await received()
    rates[kind].push(kind === 'reference' ? await reference() : await system())
    const arrived = (await received()) - before
    if (arrived !== PENDING) throw new Error(`${kind}: ${arrived} of ${PENDING} arrived`)
  }
  const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length
  const ratio = mean(rates.system) / mean(rates.reference)
  console.table({
    'plain undici loop, requests/s': rates.reference.map(Math.round).join(', '),
    'drain, deliveries/s': rates.system.map(Math.round).join(', '),
    ratio: ratio.toFixed(2),
  })
  await queue.close()
  await db.close()

  async function system(): Promise<number> {
    await addPending(db, defaultTenantId, endpoints)
    await db.sql`vacuum analyze`
    const admin = await openPool(postgres.admin, { max: 1, name: 'bench admin', log })
    await admin.sql`create extension if not exists pg_stat_statements`
    await admin.sql`select pg_stat_statements_reset()`
    const [start] = await admin.sql`select pg_current_wal_lsn() as lsn`
    const wake = await createWake(await openClient(postgres.address, { max: 2, name: 'wake', log }), log)
    const egress = createEgress({ allowNetworks: parseNetworks('127.0.0.0/8') })
    const before = cpuByProcess(postmaster)
    const startedAt = performance.now()
    const healthRules = { failingAfterSeconds: 300, disableAfterSeconds: 432_000, disableAfterAttempts: 20 }
    const worker = await startWorker({
      db,
      queue,
      wake,
      clock,
      log,
      egress,
      sealer,
      concurrency: 256,
      healthRules,
      retention: { days: 30, bodyDays: 30 },
      operationsTenantId,
    })
    for (;;) {
      const [row] = await db.sql<
        [{ pending: boolean }]
      >`select exists (select from postrider.deliveries where ticket_id is not null or waiting_for is not null) as pending`
      if (!row.pending) break
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    const seconds = (performance.now() - startedAt) / 1000
    const after = cpuByProcess(postmaster)
    await worker.stop(new Date(Date.now() + 5000))
    const [wal] = await admin.sql`select pg_wal_lsn_diff(pg_current_wal_lsn(), ${start?.lsn}) / ${PENDING} as bytes`
    const perDelivery = (name: keyof typeof after) => Math.round(((after[name] - before[name]) * 1000) / PENDING)
    const [calls] = await admin.sql<[{ calls: number }]>`
      select sum(calls)::float8 / ${PENDING} as calls from pg_stat_statements where query not like '%FOR KEY SHARE%'`
    const slowest = await admin.sql<{ statement: string; calls: number; ms: number }[]>`
      select left(regexp_replace(query, '\s+', ' ', 'g'), 70) as statement, calls::int, total_exec_time::int as ms
      from pg_stat_statements order by total_exec_time desc limit 8`
    console.table({
      'statements per delivery': calls.calls.toFixed(3),
      'WAL bytes per delivery': Math.round(Number(wal?.bytes)),
      'CPU µs per delivery: worker, Postgres, receiver': `${perDelivery('worker')}, ${perDelivery('postgres')}, ${perDelivery('receiver')}`,
    })
    if (VERBOSE) console.table([...slowest])
    await admin.close()
    await wake.close()
    await egress.close()
    return PENDING / seconds
  }
} finally {
  receiver.disconnect()
  await postgres.stop()
  await rm(dataDir, { recursive: true, force: true })
  await rm(`${dataDir}-shelter`, { recursive: true, force: true })
}

function cpuByProcess(postmaster: number) {
  const { user, system } = process.cpuUsage()
  return { worker: (user + system) / 1000, postgres: cpuOf(postmaster), receiver: cpuOf(receiver.pid as number) }
}

async function reference(): Promise<number> {
  const pool = new Pool(new URL(url).origin, { connections: 128 })
  const id = publicId('evt', newId(new Date()))
  const event = {
    id,
    type: 'bench.drained',
    version: null,
    createdAt: new Date(),
    tenant: 'default',
    isTest: false,
    payload: PAYLOAD,
  }
  const { body } = formatEvent('ENVELOPE', event)
  let left = PENDING
  const startedAt = performance.now()
  const loop = async () => {
    while (left-- > 0) {
      const timestamp = Math.floor(Date.now() / 1000)
      const headers = {
        'content-type': 'application/json',
        'user-agent': 'Postrider/bench',
        'webhook-id': id,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': signStandard({ id, timestamp, body }, [SECRET]),
        'webhook-event': 'bench.drained',
        'webhook-attempt': '1',
      }
      const response = await pool.request({ path: '/hook', method: 'POST', headers, body })
      await response.body.text()
    }
  }
  await Promise.all(Array.from({ length: 128 }, loop))
  const seconds = (performance.now() - startedAt) / 1000
  await pool.close()
  return PENDING / seconds
}

async function addEndpoints(db: Db, tenantId: TenantId): Promise<EndpointId[]> {
  const sealer = createSealer(parseMasterKeys(Buffer.alloc(32, 7).toString('base64')))
  const ids = Array.from({ length: ENDPOINTS }, () => newId<'ep'>(new Date()))
  for (const id of ids) {
    await db.sql`insert into postrider.endpoints (id, tenant_id, url, timeout_seconds, max_in_flight, created_at, updated_at)
      values (${id}, ${tenantId}, ${url}, 15, 20, now(), now())`
    const sealed = sealer.seal(SECRET, secretContext(tenantId, id))
    await db.sql`insert into postrider.secrets (id, tenant_id, endpoint_id, sealed, created_at) values (${newId(new Date())}, ${tenantId}, ${id}, ${sealed}, now())`
  }
  return ids
}

async function addPending(db: Db, tenantId: TenantId, endpoints: EndpointId[]): Promise<void> {
  const events = Array.from({ length: PENDING / ENDPOINTS }, () => newId<'evt'>(new Date()))
  await db.sql`insert into postrider.events (id, tenant_id, type, channels, occurred_at, routed_at)
    select id, ${tenantId}, 'bench.drained', '{}', now(), now() from unnest(${events as never}::uuid[]) as e (id)`
  await db.sql`insert into postrider.event_payloads (id, payload) select id, ${PAYLOAD} from unnest(${events as never}::uuid[]) as e (id)`
  const pairs = events.flatMap((event: EventId) =>
    endpoints.map((endpoint) => ({ id: deliveryIdOf(event, endpoint), event, endpoint })),
  )
  const column = (pick: (pair: (typeof pairs)[number]) => string) => pairs.map(pick) as never
  await db.sql`insert into postrider.deliveries (id, tenant_id, event_id, endpoint_id, event_type, waiting_for, created_at)
    select id, ${tenantId}, event, endpoint, 'bench.drained', 'ALLOWANCE', now()
    from unnest(${column((p) => p.id)}::uuid[], ${column((p) => p.event)}::uuid[], ${column((p) => p.endpoint)}::uuid[]) as p (id, event, endpoint)`
  await db.sql`update postrider.endpoints set backlog = true`
}
