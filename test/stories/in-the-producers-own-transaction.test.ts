import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createEndpoint, launch, settingsFor } from '../support/app.ts'
import { createDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { createProducer, publishIn } from '../support/publish-in-sql.ts'
import { startReceiver } from '../support/receiver.ts'

const CONNECTIONS = 4
// Some 150 orders a second: the load that the server catches up with after it was away.
const PAUSE_MS = 20

test('an order and its event are committed together or not at all, while the server is killed and started again', async () => {
  const address = await createDatabase()
  const environment = await settingsFor(address)
  let server = await launch(environment)
  const receiver = await startReceiver()
  await createEndpoint(server.api(), { url: receiver.url, eventTypes: ['order.placed'] })
  const shop = await createProducer(address, CONNECTIONS)
  await shop.mayPublish()
  await shop.asAdmin.unsafe(`create schema shop authorization ${shop.name}`)
  await shop.sql`create table shop.orders (id text primary key, event text not null)`

  const rolledBack: string[] = []
  const ending = new AbortController()
  const sell = async (till: number) => {
    for (let n = 0; !ending.signal.aborted; n++) {
      const id = `${till}-${n}`
      const order = shop.sql.begin(async (tx) => {
        const event = await publishIn(tx, { payload: JSON.stringify({ order: id }), wake: n % 2 === 0 })
        await tx`insert into shop.orders values (${id}, ${event})`
        if (n % 3 === 2) throw new OutOfStock()
      })
      await order.catch((error) => {
        if (!(error instanceof OutOfStock)) throw error
        rolledBack.push(id)
      })
      await wait(PAUSE_MS)
    }
  }
  const selling = Promise.all(Array.from({ length: CONNECTIONS }, (_, till) => sell(till)))
  await receiver.waitForRequests(50)
  for (let kills = 0; kills < 2; kills++) {
    await server.kill()
    // The shop goes on without it.
    const before = rolledBack.length
    await eventually(() => expect(rolledBack.length).toBeGreaterThan(before + 10))
    server = await launch(environment)
    const received = receiver.requests.length
    await receiver.waitForRequests(received + 50, 15_000)
  }
  ending.abort()
  await selling

  const orders = await shop.sql<{ id: string; event: string }[]>`select id, event from shop.orders`
  const arrived = await eventually(() => {
    const seen = new Map(
      receiver.requests.map(({ headers, body }) => [
        headers['webhook-id'],
        JSON.parse(body.toString()).data.order as string,
      ]),
    )
    expect(seen.size).toBeGreaterThanOrEqual(orders.length)
    return seen
  }, 30_000)
  expect(arrived).toEqual(new Map(orders.map(({ id, event }) => [event, id])))
  expect(rolledBack.length).toBeGreaterThan(30)
  expect([...arrived.values()].filter((order) => rolledBack.includes(order))).toEqual([])
}, 120_000)

test('what is published while no server runs, or without a wake-up, is delivered all the same', async () => {
  const address = await createDatabase()
  const environment = { ...(await settingsFor(address)), POSTRIDER_MAX_PAYLOAD_BYTES: '2048' }
  let server = await launch(environment)
  const receiver = await startReceiver()
  await createEndpoint(server.api(), { url: receiver.url })
  const shop = await createProducer(address)
  await shop.mayPublish()
  // As the configuration has it.
  const tooLarge = publishIn(shop.sql, { payload: `"${'a'.repeat(2047)}"` })
  await expect(tooLarge).rejects.toMatchObject({
    code: 'PR005',
    hint: expect.stringContaining('POSTRIDER_MAX_PAYLOAD_BYTES'),
  })

  const quiet = await publishIn(shop.sql, { wake: false })
  await receiver.waitForRequests(1, 3000)
  await server.stop()
  const alone = await publishIn(shop.sql)
  server = await launch({ ...environment, POSTRIDER_UNKNOWN_EVENT_TYPES: 'refuse' })
  await receiver.waitForRequests(2)
  await expect(publishIn(shop.sql)).rejects.toMatchObject({ code: 'PR003' })
  expect(receiver.requests.map(({ headers }) => headers['webhook-id'])).toEqual([quiet, alone])
}, 120_000)

class OutOfStock extends Error {}
