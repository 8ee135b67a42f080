import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type EndpointId, newId, type TenantId } from '../../schema/ids.ts'
import { createDecisions } from '../../src/endpoints/decide.ts'
import { createCatalogue } from '../../src/event-types/catalogue.ts'
import { createPublisher } from '../../src/events/publish.ts'
import { install } from '../../src/install.ts'
import { createLog } from '../../src/log.ts'
import { openClient, openPool } from '../../src/postgres/client.ts'
import { startEmbeddedPostgres } from '../../src/postgres/embedded.ts'
import { createWake } from '../../src/queue/wake.ts'
import { type OutboxTicket, route } from '../../src/routing/route.ts'

/**
 * What it costs to route events to endpoints of which each event matches 20 %: by their types, and by as many different filters.
 * In one run, on one database: types, filters, filters, types; what counts is the ratio. Then a quarter of the endpoints.
 */
const EVENTS = Number(process.argv[2] ?? 10_000)
const ENDPOINTS = 200
const KINDS = 5
const clock = { now: () => new Date() }
const log = createLog('warn')

const dataDir = await mkdtemp(join(tmpdir(), 'postrider-bench-'))
const postgres = await startEmbeddedPostgres({ dataDir, log, shelter: `${dataDir}-shelter` })
const db = await openPool(postgres.address, { max: 10, name: 'bench', log, byId: true })
const { queue, operationsTenantId } = await install(db, clock, { db, log, supervise: false })
const wake = await createWake(await openClient(postgres.address, { max: 2, name: 'wake', log }), log)
const { tickets } = queue
const catalogue = createCatalogue({ sql: db.sql, wake, refusesUnknown: false })
const publisher = createPublisher({
  db,
  tickets,
  wake,
  clock,
  log,
  catalogue,
  maxPayloadBytes: 262_144,
  idempotencyHours: 24,
})

const payloadOf = (n: number) => ({
  amount: n % 1000,
  currency: 'EUR',
  customer: { id: `cus_${n}`, country: `C${n % KINDS}`, name: 'x'.repeat(200) },
  lines: Array.from({ length: 5 }, (_, line) => ({ sku: `sku-${line}`, quantity: line + 1, price: 9.5 })),
})
const filterOf = (n: number) => `payload.customer.country == "C${n % KINDS}" && payload.amount >= -${n}.0`

type Row = { events: number; endpoints: number; perSecond: number; usPerEvent: number; matching: number }
const rows: Record<string, Row> = {}

async function measure(name: string, endpoints: number, filtered: boolean): Promise<void> {
  const tenantId = newId<'ten'>(clock.now())
  await db.sql`insert into postrider.tenants (id, key, created_at) values (${tenantId}, ${`t${tenantId}`}, now())`
  for (let n = 0; n < endpoints; n++)
    await addEndpoint(tenantId, filtered ? null : `kind.n${n % KINDS}`, filtered ? filterOf(n) : null)
  for (let at = 0; at < EVENTS; at += 500) {
    const inputs = Array.from({ length: Math.min(500, EVENTS - at) }, (_, index) => at + index)
    await publisher.publishBatch(inputs.map((n) => ({ tenantId, type: `kind.n${n % KINDS}`, payload: payloadOf(n) })))
  }
  const startedAt = performance.now()
  const cpu = process.cpuUsage()
  for (;;) {
    const { claims } = await tickets.claim<OutboxTicket>('outbox', 2)
    if (claims.length === 0) break
    await route({ db, tickets, clock, operationsTenantId }, claims)
  }
  const seconds = (performance.now() - startedAt) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const [made] = await db.sql<[{ count: number }]>`
    select count(*)::int from postrider.deliveries where tenant_id = ${tenantId}`
  if (made.count !== (EVENTS * endpoints) / KINDS) throw new Error(`${made.count} deliveries`)
  rows[name] = {
    events: EVENTS,
    endpoints,
    perSecond: Math.round(EVENTS / seconds),
    usPerEvent: Math.round((user + system) / EVENTS),
    matching: made.count,
  }
  console.log(name, rows[name])
}

async function addEndpoint(tenantId: TenantId, type: string | null, filter: string | null): Promise<void> {
  const id: EndpointId = newId(clock.now())
  await db.sql`
    insert into postrider.endpoints (id, tenant_id, url, event_types, filter, timeout_seconds, max_in_flight, created_at, updated_at)
    values (${id}, ${tenantId}, 'http://127.0.0.1:9/hook', ${type === null ? null : [type]}, ${filter}, 5, 20, now(), now())`
}

/** The decisions alone, without a database. */
function decideAll(): void {
  const endpoints = Array.from({ length: ENDPOINTS }, (_, n) => ({
    eventTypes: null,
    channels: null,
    versions: null,
    filter: filterOf(n),
  }))
  let holding = 0
  const startedAt = performance.now()
  for (let n = 0; n < EVENTS; n++) {
    const text = JSON.stringify(payloadOf(n))
    const event = { type: 'a', version: null, channels: [], tenant: 't', isTest: false, operations: false }
    const decisions = createDecisions({ ...event, payload: () => JSON.parse(text) })
    for (const endpoint of endpoints) if (decisions.decide(endpoint).refusal === null) holding++
  }
  const us = (performance.now() - startedAt) * 1000
  console.log(
    `Decisions alone: ${(us / EVENTS / ENDPOINTS).toFixed(2)} µs per evaluation, ${Math.round(us / EVENTS)} µs per event; ${holding} hold`,
  )
}

try {
  decideAll()
  await measure('types', ENDPOINTS, false)
  await measure('filters', ENDPOINTS, true)
  await measure('filters again', ENDPOINTS, true)
  await measure('types again', ENDPOINTS, false)
  await measure('filters, a quarter', ENDPOINTS / 4, true)
  console.table(rows)
} finally {
  await wake.close()
  await queue.close()
  await db.close()
  await postgres.stop()
  await rm(dataDir, { recursive: true, force: true })
}
