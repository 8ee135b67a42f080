import { type EndpointId, newId } from '../../schema/ids.ts'
import { createCatalogue } from '../../src/event-types/catalogue.ts'
import { createPublisher } from '../../src/events/publish.ts'
import { startSystem } from './system.ts'

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

type Seen = { count: number; p50: number; p99: number; worst: number; others: number }
type Row = Seen & { rate: number; reference: string }

const system = await startSystem(new URL('./isolation-receiver.ts', import.meta.url))
const { db, wake, clock, log, tickets } = system
const seen = () => system.ask<Seen>('report')
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
const worker = await system.startWorker()

const tenant = system.tenantId
const noisy = newId<'ten'>(new Date())
await db.sql`insert into postrider.tenants (id, key, created_at) values (${noisy}, 'noisy', now())`

try {
  for (let n = 0; n < WELL; n++) await system.addEndpoint(tenant, '/well', `well.n${n}`)
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
      await system.addEndpoint(tenant, '/hang', `hang.n${n}`)
      hanging.push(`hang.n${n}`)
    }
    await measure(`beside ${share * 100} % that hang`, rate, alone, hanging)
  }
  await forget('/hang')
  const alone = `alone, ${half}/s`
  await measure(alone, half, alone)

  await system.addEndpoint(noisy, '/busy', '*')
  const burst = publishBurst()
  await measure(`beside a burst of ${BURST}`, half, alone)
  await burst
  await forget('/busy')
  await system.addWaiting(noisy, [await system.addEndpoint(noisy, '/hang', 'waiting')], WAITING, {
    waitingFor: 'ALLOWANCE',
    at: null,
  })
  await measure(`beside ${WAITING} that wait`, half, alone)

  console.log(`${WELL} healthy endpoints, half of ${Math.round(most)} deliveries/s, with those that hang:`)
  console.table(
    Object.fromEntries(Object.entries(rows).map(([what, row]) => [what, inWords(row, rows[row.reference])])),
  )
} finally {
  await worker.stop(new Date(Date.now() + 1000))
  await system.stop()
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
