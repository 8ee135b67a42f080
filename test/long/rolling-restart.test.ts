import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { type Api, createApi, createEndpoint, launch, type Process, settingsFor } from '../support/app.ts'
import { createDatabase, openDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { startPublishers } from '../support/publishers.ts'
import { startReceiver } from '../support/receiver.ts'

const PUBLISHERS = 4

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

test('two APIs and two workers are restarted in turn, under load: nobody notices', async () => {
  const address = await createDatabase()
  const settings = await settingsFor(address)
  const ports = [await freePort(), await freePort()]
  const environments = [
    ...ports.map((port) => ({ ...settings, POSTRIDER_ROLE: 'api', PORT: String(port) })),
    ...[1, 2].map(() => ({ ...settings, POSTRIDER_ROLE: 'worker' })),
  ]
  const fleet: Process[] = await Promise.all(environments.map((environment) => launch(environment)))
  const key = settings.POSTRIDER_ADMIN_KEY as string
  const apis = ports.map((port) => createApi(() => `http://127.0.0.1:${port}`, key))
  const receivers = await Promise.all([1, 2, 3].map(() => startReceiver()))
  for (const receiver of receivers) receiver.answers({ delayMs: 20 })
  const ordered = receivers[2] as (typeof receivers)[number]
  for (const receiver of receivers) {
    await createEndpoint(apis[0] as Api, {
      url: receiver.url,
      ordering: receiver === ordered ? 'PER_KEY' : 'NONE',
      retry: { delaysSeconds: [1, 1, 1, 1, 1] },
    })
  }

  const publishers = startPublishers({
    apis: () => apis,
    count: PUBLISHERS,
    pauseMs: 200,
    event: (publisher, n) => ({ type: 'order.placed', payload: { publisher, n }, orderingKey: `key-${publisher}` }),
  })
  const { acknowledged, refusals, unexpected } = publishers
  for (let index = 0; index < fleet.length; index++) {
    const before = acknowledged.size
    await eventually(() => expect(acknowledged.size).toBeGreaterThan(before + 3 * PUBLISHERS), 60_000)
    expect(await (fleet[index] as Process).stop()).toBe(0)
    fleet[index] = await launch(environments[index] as Record<string, string>)
  }
  await publishers.stop()

  const db = await openDatabase(address)
  const events = acknowledged.size
  const ids = [...acknowledged.values()].sort()
  await eventually(async () => {
    const [row] = await db.sql`select count(*)::int as delivered from postrider.deliveries where state = 'DELIVERED'`
    expect(row?.delivered).toBe(3 * events)
  }, 120_000)
  const [counts] = await db.sql<[Record<string, number>]>`
    select (select count(*) from postrider.events)::int as events, (select count(*) from postrider.deliveries)::int as deliveries,
      (select count(*) from postrider.attempts)::int as attempts,
      (select count(distinct (event_id, endpoint_id)) from postrider.deliveries)::int as pairs`
  const received = receivers.map(({ requests }) => requests.length)
  console.log({ restarts: fleet.length, ...counts, received, refusals: Object.fromEntries(refusals) })
  expect(unexpected).toEqual([])
  expect(new Set(ids).size).toBe(events)
  expect(counts).toEqual({ events, deliveries: 3 * events, pairs: 3 * events, attempts: 3 * events })
  for (const { requests } of receivers) expect(requests.map(({ headers }) => headers['webhook-id']).sort()).toEqual(ids)
  for (let publisher = 0; publisher < PUBLISHERS; publisher++) {
    const order = ordered.requests
      .map(({ body }) => JSON.parse(body.toString()).data)
      .filter((data) => data.publisher === publisher)
      .map(({ n }) => n)
    expect(order).toEqual(order.map((_, n) => n))
  }
  for (const process of fleet) expect(await process.stop()).toBe(0)
})
