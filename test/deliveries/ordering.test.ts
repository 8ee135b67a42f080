import { expect, test } from 'vitest'
import { type EndpointId, publicId } from '../../schema/ids.ts'
import { updateEndpoint } from '../../src/endpoints/save.ts'
import type { Published } from '../../src/events/publish.ts'
import { receiverOf } from '../egress/world.ts'
import { type Engine, movableClock, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import type { ReceivedRequest } from '../support/receiver.ts'

async function publishOne(engine: Engine, orderingKey: string | null, payload: object = {}): Promise<string> {
  const { eventId } = (await engine.publisher.publish({
    tenantId: engine.tenantId,
    type: 'invoice.paid',
    orderingKey,
    payload,
  })) as Published
  return publicId('evt', eventId)
}

const idOf = ({ headers }: ReceivedRequest) => headers['webhook-id'] as string
const states = async (engine: Engine, endpoint: EndpointId) =>
  (await engine.deliveries(endpoint))
    .toSorted((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0))
    .map(({ state, waitingFor }) => waitingFor ?? state)

test('per key strictly in order, with four producers, two routers, two workers and a delivery that fails twice', async () => {
  const [ordered, free] = [await receiverOf(), await receiverOf()]
  const one = await startEngine()
  const other = await startEngine({ address: one.address })
  const id = await one.addEndpoint(ordered.url, { retryPolicy: { delaysSeconds: [1, 1] } })
  await one.change(id, { ordering: 'PER_KEY' })
  await one.addEndpoint(free.url)
  // Each producer speaks to both processes in turn, and publishes the next event when the one before is acknowledged.
  const published: Record<string, string[]> = {}
  let failing = ''
  const produce = async (producer: number) => {
    for (let n = 0; n < 100; n++) {
      const key = `key ${producer}-${n % 5}`
      const event = await publishOne(n % 2 === 0 ? one : other, key, { producer, n })
      published[key] = [...(published[key] ?? []), event]
      if (producer === 2 && n === 42) failing = event
    }
  }
  const seen: { event: string; status: number; at: number }[] = []
  ordered.answers((request) => {
    const event = idOf(request)
    const before = seen.filter((one) => one.event === event).length
    const status = event === failing && before < 2 ? 500 : 200
    seen.push({ event, status, at: performance.now() })
    return status
  })
  await Promise.all([0, 1, 2, 3].map(produce))
  await ordered.waitForRequests(402, 30_000)
  await free.waitForRequests(400, 30_000)

  const delivered = seen.filter(({ status }) => status === 200).map(({ event }) => event)
  expect(delivered).toHaveLength(400)
  for (const [key, events] of Object.entries(published)) {
    const order = new Set(events)
    expect(
      delivered.filter((event) => order.has(event)),
      key,
    ).toEqual(events)
  }
  // While it failed, for two seconds, the other keys went on: the last of them long before the lane of its key.
  const lane = new Set(Object.values(published).find((events) => events.includes(failing)))
  const [first, , last] = seen.filter(({ event }) => event === failing)
  const meanwhile = seen.filter(({ event, at }) => !lane.has(event) && at > (first?.at ?? 0) && at < (last?.at ?? 0))
  const ofLane = seen.filter(({ event, at }) => lane.has(event) && at > (first?.at ?? 0) && at < (last?.at ?? 0))
  expect(meanwhile.length).toBeGreaterThan(20)
  expect(ofLane.map(({ event }) => event)).toEqual([failing])

  const sequences = new Map<string, number[]>()
  for (const request of ordered.requests) {
    if (request.headers['webhook-attempt'] !== '1') continue
    const key = Object.keys(published).find((key) => published[key]?.includes(idOf(request))) as string
    sequences.set(key, [...(sequences.get(key) ?? []), Number(request.headers['webhook-sequence'])])
  }
  for (const numbers of sequences.values()) expect(numbers).toEqual(Array.from({ length: 20 }, (_, index) => index + 1))
  expect(free.requests.every(({ headers }) => headers['webhook-sequence'] === undefined)).toBe(true)
  const [left] = await one.db.sql`select count(*)::int from postrider.lane_outbox`
  expect(left).toEqual({ count: 0 })
})

test('per endpoint one at a time, whatever the key', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  const id = await engine.addEndpoint(receiver.url)
  await engine.change(id, { ordering: 'PER_ENDPOINT' })
  let [inFlight, most] = [0, 0]
  receiver.answers(async () => {
    most = Math.max(most, ++inFlight)
    await new Promise((resolve) => setTimeout(resolve, 5))
    inFlight--
    return 200
  })
  const events: string[] = []
  for (let n = 0; n < 30; n++) events.push(await publishOne(engine, n % 3 === 0 ? null : `key ${n % 3}`))
  const requests = await receiver.waitForRequests(30, 10_000)
  expect(requests.map(idOf)).toEqual(events)
  expect(most).toBe(1)
})

test('events without a key go in no order past a lane that waits', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  const id = await engine.addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: [600] } })
  await engine.change(id, { ordering: 'PER_KEY' })
  receiver.answers(500, 200)
  await publishOne(engine, 'a')
  await receiver.waitForRequests(1)
  await publishOne(engine, 'a')
  const free = await publishOne(engine, null)
  const requests = await receiver.waitForRequests(2)
  expect(requests.map(idOf).at(-1)).toBe(free)
  await eventually(async () => expect(await states(engine, id)).toEqual(['DELIVERED', 'RETRY', 'ORDER']))
})

test.each(['WAIT', 'SKIP_AFTER_FAILED'] as const)('behind a dead letter: %s', async (onBlocked) => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  const id = await engine.addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: [] } })
  await engine.change(id, { ordering: 'PER_ENDPOINT', onBlocked })
  receiver.answers(500, 200)
  await publishOne(engine, null)
  await publishOne(engine, null)
  await publishOne(engine, null)
  const goesOn = onBlocked === 'SKIP_AFTER_FAILED'
  const expected = goesOn ? ['FAILED', 'DELIVERED', 'DELIVERED'] : ['FAILED', 'ORDER', 'ORDER']
  await eventually(async () => expect(await states(engine, id)).toEqual(expected))
  expect(receiver.requests).toHaveLength(goesOn ? 3 : 1)
})

test.each(['a retry by hand that succeeds', 'its cancellation', 'SKIP_AFTER_FAILED from now on'])(
  'what lets a blocked lane go: %s',
  async (what) => {
    const receiver = await receiverOf()
    const engine = await startEngine()
    const id = await engine.addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: [] } })
    await engine.change(id, { ordering: 'PER_ENDPOINT' })
    receiver.answers(500, 500, 200)
    const events = [await publishOne(engine, null), await publishOne(engine, null)]
    await eventually(async () => expect(await states(engine, id)).toEqual(['FAILED', 'ORDER']))
    const [head, behind] = (await engine.deliveries(id)).toSorted((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0))
    const retry = engine.redeliverer.retry(engine.viewer, behind?.id as never)
    await expect(retry).rejects.toMatchObject({ code: 'OUT_OF_ORDER' })
    // One that fails again changes nothing.
    await engine.redeliverer.retry(engine.viewer, head?.id as never)
    await eventually(async () => expect(await engine.attempts()).toHaveLength(2))
    expect(await states(engine, id)).toEqual(['FAILED', 'ORDER'])

    if (what.startsWith('a retry')) await engine.redeliverer.retry(engine.viewer, head?.id as never)
    else if (what.startsWith('its')) await engine.redeliverer.cancel(engine.viewer, head?.id as never)
    else await updateEndpoint(engine, engine.viewer, id, { onBlocked: 'SKIP_AFTER_FAILED' })
    await eventually(async () => expect((await states(engine, id)).at(-1)).toBe('DELIVERED'))
    expect(receiver.requests.map(idOf).at(-1)).toBe(events[1])
  },
)

test('SKIP_AFTER_FAILED set while the last attempt is under way lets the lane go', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  const id = await engine.addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: [] } })
  await engine.change(id, { ordering: 'PER_ENDPOINT' })
  receiver.answers(async (_, index) => {
    if (index > 0) return 200
    await updateEndpoint(engine, engine.viewer, id, { onBlocked: 'SKIP_AFTER_FAILED' })
    return 500
  })
  await publishOne(engine, null)
  await publishOne(engine, null)
  await eventually(async () => expect(await states(engine, id)).toEqual(['FAILED', 'DELIVERED']))
})

test('more blocked lanes than one round takes are all let go', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  const id = await engine.addEndpoint(receiver.url, { maxInFlight: 1000, retryPolicy: { delaysSeconds: [] } })
  await engine.change(id, { ordering: 'PER_KEY' })
  const KEYS = 300
  receiver.answers((_, index) => (index < KEYS ? 500 : 200))
  for (let n = 0; n < 2; n++) {
    const inputs = Array.from({ length: KEYS }, (_, key) => ({
      tenantId: engine.tenantId,
      type: 'a',
      payload: n,
      orderingKey: `k${key}`,
    }))
    await engine.publisher.publishBatch(inputs)
  }
  await eventually(async () => {
    const all = await states(engine, id)
    expect([all.filter((one) => one === 'FAILED').length, all.filter((one) => one === 'ORDER').length]).toEqual([
      KEYS,
      KEYS,
    ])
  }, 10_000)
  await updateEndpoint(engine, engine.viewer, id, { onBlocked: 'SKIP_AFTER_FAILED' })
  await eventually(
    async () => expect((await states(engine, id)).filter((one) => one === 'DELIVERED')).toHaveLength(KEYS),
    10_000,
  )
})

test('events without a key are no slower at an endpoint that orders by key', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  const id = await engine.addEndpoint(receiver.url)
  await engine.change(id, { ordering: 'PER_KEY' })
  await engine.publish(200)
  // At 20 a second, one round of the promoter, it would take ten.
  await receiver.waitForRequests(200, 7000)
})

test('a cancelled delivery at the head, or behind it, does not hold up its lane', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  const id = await engine.addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: [600] } })
  await engine.change(id, { ordering: 'PER_ENDPOINT' })
  receiver.answers(500, 200)
  for (let n = 0; n < 4; n++) await publishOne(engine, null)
  await eventually(async () => expect(await states(engine, id)).toEqual(['RETRY', 'ORDER', 'ORDER', 'ORDER']))
  const rows = (await engine.deliveries(id)).toSorted((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0))
  await engine.redeliverer.cancel(engine.viewer, rows[2]?.id as never)
  await engine.redeliverer.cancel(engine.viewer, rows[0]?.id as never)
  await eventually(async () =>
    expect(await states(engine, id)).toEqual(['CANCELLED', 'DELIVERED', 'CANCELLED', 'DELIVERED']),
  )
})

test('an event from days before the one at the head is found behind it', async () => {
  const receiver = await receiverOf()
  const clock = movableClock()
  const engine = await startEngine({ clock })
  const id = await engine.addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: [600] } })
  await engine.change(id, { ordering: 'PER_ENDPOINT' })
  receiver.answers(500, 200)
  clock.forward(3 * 86_400_000)
  await publishOne(engine, null)
  await eventually(async () => expect(await states(engine, id)).toEqual(['RETRY']))
  // A producer's transaction that was open for so long.
  clock.forward(-3 * 86_400_000)
  await publishOne(engine, null)
  await eventually(async () => expect(await states(engine, id)).toEqual(['RETRY', 'ORDER']))
  clock.forward(3 * 86_400_000)
  const [head] = (await engine.deliveries(id)).filter(({ waitingFor }) => waitingFor === 'RETRY')
  await engine.redeliverer.cancel(engine.viewer, head?.id as never)
  await eventually(async () => expect(await states(engine, id)).toEqual(['CANCELLED', 'DELIVERED']))
})

test('an endpoint that becomes ordered takes what was published before in no order, and no lane', async () => {
  const receiver = await receiverOf()
  const idle = await startEngine({ worker: false })
  const id = await idle.addEndpoint(receiver.url)
  const events = [await publishOne(idle, null), await publishOne(idle, null)]
  await idle.change(id, { ordering: 'PER_ENDPOINT' })
  events.push(await publishOne(idle, null))
  await startEngine({ address: idle.address })
  const requests = await receiver.waitForRequests(3)
  expect(new Set(requests.map(idOf))).toEqual(new Set(events))
  await eventually(async () => expect(await states(idle, id)).toEqual(Array(3).fill('DELIVERED')))
  expect(new Map(requests.map((one) => [idOf(one), one.headers['webhook-sequence']]))).toEqual(
    new Map([
      [events[0], undefined],
      [events[1], undefined],
      [events[2], '1'],
    ]),
  )
})
