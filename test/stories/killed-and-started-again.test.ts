import { expect, test } from 'vitest'
import { createEndpoint, publish, startServer } from '../support/app.ts'
import { eventually } from '../support/eventually.ts'
import { startReceiver } from '../support/receiver.ts'

const PENDING =
  '{ pending: deliveries(filter: { states: [PENDING] }) { nodes { id } } delivered: deliveries(filter: { states: [DELIVERED] }, first: 100) { nodes { id } } }'

test('killed right after it acknowledged: everything arrives after the next start', async () => {
  const server = await startServer()
  const receiver = await startReceiver()
  await createEndpoint(server.api, { url: receiver.url })

  const acknowledged = await Promise.all(
    Array.from({ length: 20 }, (_, n) => publish(server.api, { type: 'order.placed', payload: { n } })),
  )
  await server.kill()
  await server.restart()

  const arrived = await eventually(() => {
    const ids = new Set(receiver.requests.map(({ headers }) => headers['webhook-id']))
    expect(ids.size).toBe(acknowledged.length)
    return ids
  }, 15_000)
  expect([...arrived].sort()).toEqual([...acknowledged].sort())
})

test('killed in the middle of deliveries: they go out again at once, and none is lost', async () => {
  const server = await startServer()
  const receiver = await startReceiver()
  receiver.answers({ hang: true })
  await createEndpoint(server.api, { url: receiver.url, retry: { delaysSeconds: [1, 1, 1] } })
  const acknowledged = await Promise.all(
    Array.from({ length: 50 }, (_, n) => publish(server.api, { type: 'order.placed', payload: { n } })),
  )
  // As many as one endpoint may have in flight.
  await receiver.waitForRequests(20)

  await server.kill()
  receiver.answers(200)
  const before = receiver.requests.length
  await server.restart()

  const restartedAt = performance.now()
  await eventually(async () => {
    const { pending, delivered } = await server.api.ask<Record<'pending' | 'delivered', { nodes: unknown[] }>>(PENDING)
    expect(pending.nodes).toHaveLength(0)
    expect(delivered.nodes).toHaveLength(acknowledged.length)
  }, 20_000)
  // A claim that nobody gives back lapses after 60 seconds; these were given back at the start.
  expect(performance.now() - restartedAt).toBeLessThan(10_000)
  // Sent twice is only what was in flight when it died.
  expect(receiver.requests.length - before).toBe(acknowledged.length)
})
