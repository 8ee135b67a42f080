import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { install } from '../../src/install.ts'
import { createLog } from '../../src/log.ts'
import { openPool } from '../../src/postgres/client.ts'
import { startEmbeddedPostgres } from '../../src/postgres/embedded.ts'

/**
 * What publishing in SQL adds to a producer's transaction: one insert of its own, alone and then with an event, without and with
 * a wake-up. In turns, so that what else the machine does meets all of them; what counts is the ratio to the insert alone.
 */
const SECONDS = Number(process.argv[2] ?? 3)
const ROUNDS = 3
const STATEMENTS = {
  'the insert alone': null,
  'with an event, wake => false': `select postrider.publish('order.placed', $1, wake => false)`,
  'with an event': `select postrider.publish('order.placed', $1)`,
}
type What = keyof typeof STATEMENTS
const PAYLOAD = JSON.stringify({ order: 'ord_1234567890', customer: 'cus_1234', lines: 'x'.repeat(900) })

const log = createLog('error')
const dataDir = await mkdtemp(join(tmpdir(), 'postrider-bench-'))
const postgres = await startEmbeddedPostgres({ dataDir, log, shelter: `${dataDir}-shelter` })
const db = await openPool(postgres.address, { max: 16, name: 'shop', log })
const clock = { now: () => new Date() }
const { queue } = await install(db, clock, { db, log, supervise: false })
await db.sql`create table orders (id bigint generated always as identity primary key, total numeric not null)`

const rates = new Map<string, number[]>()
try {
  for (let round = 0; round < ROUNDS; round++) {
    const order = Object.keys(STATEMENTS) as What[]
    for (const connections of [1, 4, 16]) {
      for (const what of round % 2 ? order.reverse() : order) {
        const key = `${connections} connections, ${what}`
        rates.set(key, [...(rates.get(key) ?? []), await measure(connections, STATEMENTS[what])])
      }
    }
  }
  const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number
  console.table(
    [...rates].map(([key, values]) => {
      const alone = rates.get(`${key.split(',')[0]}, the insert alone`) as number[]
      return {
        what: key,
        'transactions/s': Math.round(median(values)),
        ratio: (median(values) / median(alone)).toFixed(2),
      }
    }),
  )
} finally {
  await queue.close()
  await db.close()
  await postgres.stop()
  await rm(dataDir, { recursive: true, force: true })
  await rm(`${dataDir}-shelter`, { recursive: true, force: true })
}

async function measure(connections: number, publish: string | null): Promise<number> {
  let done = 0
  const end = performance.now() + SECONDS * 1000
  const work = async () => {
    while (performance.now() < end) {
      await db.transaction(async (tx) => {
        await Promise.all([
          tx`insert into orders (total) values (49)`,
          publish === null ? null : tx.unsafe(publish, [PAYLOAD], { prepare: true }),
        ])
      })
      done++
    }
  }
  await Promise.all(Array.from({ length: connections }, work))
  return done / SECONDS
}
