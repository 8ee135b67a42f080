import { expect, test } from 'vitest'
import { testEndpoint } from '../../src/routing/test-delivery.ts'
import { receiverOf } from '../egress/world.ts'
import { type Engine, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

const settled = (engine: Engine) =>
  eventually(async () => {
    const rows = await engine.deliveries()
    expect(rows.every(({ state }) => state !== 'PENDING')).toBe(true)
    return rows
  })

test.each(['PAUSED', 'DISABLED'] as const)(
  'a test goes to a %s endpoint, and what waits there stays',
  async (state) => {
    const receiver = await receiverOf()
    const engine = await startEngine()
    const disabled = state === 'DISABLED' ? { disabledReason: 'GONE' as const, disabledAt: new Date() } : {}
    const id = await engine.addEndpoint(receiver.url)
    await engine.change(id, { state, ...disabled })
    await engine.publish(2)
    await eventually(async () => expect(await engine.deliveries()).toHaveLength(2))
    const delivery = await testEndpoint(engine, engine.viewer, id, null)
    const [request] = await receiver.waitForRequests(1)
    expect(request?.headers['webhook-event']).toBe('postrider.test')
    await eventually(async () =>
      expect((await engine.deliveries()).map(({ id, state }) => [id === delivery, state])).toEqual([
        [false, 'PENDING'],
        [false, 'PENDING'],
        [true, 'DELIVERED'],
      ]),
    )
    expect(receiver.requests).toHaveLength(1)
    expect(await engine.endpoint(id)).toMatchObject({ state })
  },
)

test('tests of a paused endpoint stay within what it may have in flight', async () => {
  const receiver = await receiverOf()
  const answered = Promise.withResolvers<void>()
  receiver.answers(async () => {
    await answered.promise
    return 200
  })
  const engine = await startEngine()
  const id = await engine.addEndpoint(receiver.url, { maxInFlight: 2 })
  await engine.change(id, { state: 'PAUSED' })
  const tryOut = () => testEndpoint(engine, engine.viewer, id, null)
  await Promise.all([tryOut(), tryOut()])
  await expect(tryOut()).rejects.toMatchObject({ code: 'ATTEMPT_IN_FLIGHT', path: ['id'] })
  answered.resolve()
  expect(await settled(engine)).toMatchObject(Array(2).fill({ state: 'DELIVERED' }))
  await tryOut()
  await receiver.waitForRequests(3)
})

test.each([500, 410])('a test that is answered %i is over, and the endpoint as it was', async (status) => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  receiver.answers(status)
  const id = await engine.addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: [1, 1] } })
  await testEndpoint(engine, engine.viewer, id, null)
  expect(await settled(engine)).toMatchObject([{ state: 'FAILED', attemptsMade: 1, nextAttemptAt: null }])
  expect(await engine.attempts()).toMatchObject([{ trigger: 'TEST', status, number: 1 }])
  expect(await engine.endpoint(id)).toMatchObject({ state: 'ACTIVE', failingSince: null, failedAttempts: 0 })
})

test('sent again by hand, it is still a test: neither a 410 nor its failures have consequences', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  receiver.answers(500, 410, 200)
  const id = await engine.addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: [1, 1] } })
  const delivery = await testEndpoint(engine, engine.viewer, id, null)
  for (const [attempts, state] of [
    [1, 'FAILED'],
    [2, 'FAILED'],
    [3, 'DELIVERED'],
  ]) {
    await eventually(async () =>
      expect(await engine.deliveries()).toMatchObject([{ state, attemptsMade: attempts, nextAttemptAt: null }]),
    )
    if (state === 'FAILED') await engine.redeliverer.retry(engine.viewer, delivery)
  }
  expect(await engine.attempts()).toMatchObject(Array(3).fill({ trigger: 'TEST' }))
  expect(await engine.endpoint(id)).toMatchObject({ state: 'ACTIVE', failingSince: null, failedAttempts: 0 })
})

test('a test that waits stays one when it is asked for by hand', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine({ worker: false })
  receiver.answers(500)
  const id = await engine.addEndpoint(receiver.url, { maxInFlight: 1, retryPolicy: { delaysSeconds: [1, 1] } })
  await testEndpoint(engine, engine.viewer, id, null)
  const second = await testEndpoint(engine, engine.viewer, id, null)
  await engine.redeliverer.retry(engine.viewer, second)
  const worker = await startEngine({ address: engine.address })
  expect(await settled(worker)).toMatchObject(Array(2).fill({ state: 'FAILED', attemptsMade: 1 }))
})

test('a test goes to one endpoint only, whatever event types that wants', async () => {
  const [mine, neighbours] = [await receiverOf(), await receiverOf()]
  const engine = await startEngine()
  const id = await engine.addEndpoint(mine.url, { eventTypes: ['invoice.*', 'endpoint.disabled', 'order.shipped'] })
  await engine.addEndpoint(neighbours.url)
  await testEndpoint(engine, engine.viewer, id, null)
  await testEndpoint(engine, engine.viewer, id, 'customer.created')
  const requests = await mine.waitForRequests(2)
  expect(new Set(requests.map(({ headers }) => headers['webhook-event']))).toEqual(
    new Set(['order.shipped', 'customer.created']),
  )
  await settled(engine)
  const events = await engine.db.sql`select is_test, routed_at is not null as routed from postrider.events`
  expect(events).toEqual(Array(2).fill({ is_test: true, routed: true }))
  expect(await engine.deliveries()).toHaveLength(2)
  expect(neighbours.requests).toHaveLength(0)
})

test('tests keep to maxInFlight: where all of it is in use, they wait', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  const id = await engine.addEndpoint(receiver.url, { maxInFlight: 2 })
  let [now, most] = [0, 0]
  receiver.answers(async () => {
    most = Math.max(most, ++now)
    // The first stays until there is a second; then a third had time to come.
    await eventually(() => expect(most).toBeGreaterThanOrEqual(2))
    await new Promise((resolve) => setTimeout(resolve, 30))
    now--
    return 200
  })
  await Promise.all(Array.from({ length: 8 }, () => testEndpoint(engine, engine.viewer, id, null)))
  expect(await settled(engine)).toMatchObject(Array(8).fill({ state: 'DELIVERED' }))
  expect(most).toBe(2)
})

test.each`
  type                   | code
  ${'not ok'}            | ${'INVALID_INPUT'}
  ${''}                  | ${'INVALID_INPUT'}
  ${'endpoint.disabled'} | ${'RESERVED_EVENT_TYPE'}
`('the type "$type" is refused', async ({ type, code }) => {
  const engine = await startEngine({ worker: false })
  const id = await engine.addEndpoint('http://127.0.0.1:1/')
  await expect(testEndpoint(engine, engine.viewer, id, type)).rejects.toMatchObject({ code, path: ['type'] })
  expect(await engine.deliveries()).toHaveLength(0)
})
