import { setTimeout as wait } from 'node:timers/promises'
import { openPool } from '../../src/postgres/client.ts'
import { startSystem } from './system.ts'

/**
 * What publishing in SQL adds to a producer's transaction (an insert of its own, alone and then with an event of 1 KiB, without
 * and with a wake-up), and how long it takes from there to the receiver. In short turns, forth and back, so that what else the
 * machine does meets all of them; what counts is the ratio to the insert alone.
 */
const ROUNDS = Number(process.argv[2] ?? 10)
const SLICE_MS = 400
const EVENTS = 60

const ALONE = 'the insert alone'
const STATEMENTS = {
  [ALONE]: null,
  'with an event, wake => false': `select postrider.publish('order.placed', $1, wake => false)`,
  'with an event': `select postrider.publish('order.placed', $1)`,
}
type What = keyof typeof STATEMENTS
const ALL = Object.keys(STATEMENTS) as What[]
const PAYLOAD = JSON.stringify({ order: 'ord_1234567890', lines: 'x'.repeat(1000) })

const system = await startSystem(new URL('./isolation-receiver.ts', import.meta.url))
const shop = await openPool(system.address, { max: 16, name: 'shop', log: system.log })
try {
  await shop.sql`create table public.orders (id bigint generated always as identity primary key, total numeric not null)`
  console.table([...(await rates(4)), ...(await rates(16))])
  console.table(await latencies())
} finally {
  await shop.close()
  await system.stop()
}

async function rates(connections: number) {
  const done = new Map<What, number>()
  for (let round = 0; round < ROUNDS; round++) {
    for (const what of [...ALL, ...ALL.toReversed()]) {
      done.set(what, (done.get(what) ?? 0) + (await slice(connections, STATEMENTS[what])))
    }
  }
  const perSecond = (what: What) => ((done.get(what) as number) * 1000) / (ROUNDS * 2 * SLICE_MS)
  return ALL.map((what) => ({
    connections,
    what,
    'transactions/s': Math.round(perSecond(what)),
    ratio: (perSecond(what) / perSecond(ALONE)).toFixed(2),
  }))
}

async function slice(connections: number, publish: string | null): Promise<number> {
  let done = 0
  const end = performance.now() + SLICE_MS
  const work = async () => {
    for (; performance.now() < end; done++) {
      await shop.transaction(async (tx) => {
        const order = tx`insert into public.orders (total) values (49)`
        await Promise.all([order, publish === null ? null : tx.unsafe(publish, [PAYLOAD], { prepare: true })])
      })
    }
  }
  await Promise.all(Array.from({ length: connections }, work))
  return done
}

/** From the call in SQL to the first byte at the receiver, one event after the other. */
async function latencies() {
  await shop.sql`delete from postrider_queue.job where name = 'outbox'`
  await system.addEndpoint(system.tenantId, '/well', 'order.timed')
  const worker = await system.startWorker()
  const found = []
  for (const wake of [true, false]) {
    await system.ask('report')
    for (let n = 0; n < EVENTS; n++) {
      await shop.sql`select postrider.publish('order.timed', '{}', wake => ${wake})`
      // Not in step with the poll.
      await wait(150 + Math.random() * 300)
    }
    await wait(2000)
    const { count, p50, p99 } = await system.ask<{ count: number; p50: number; p99: number }>('report')
    found.push({ wake, events: count, 'p50 ms': p50, 'p99 ms': p99 })
  }
  await worker.stop(new Date(Date.now() + 5000))
  return found
}
