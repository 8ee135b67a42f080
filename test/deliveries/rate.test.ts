import { expect, test } from 'vitest'
import { slotAfter } from '../../src/deliveries/admission.ts'
import { deleteEndpoint } from '../../src/endpoints/save.ts'
import { testEndpoint } from '../../src/routing/test-delivery.ts'
import { receiverOf } from '../egress/world.ts'
import { startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

/** The most requests that came within any second. */
function mostInASecond(times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b)
  return Math.max(
    ...sorted.map((from, index) => sorted.filter((at, later) => later >= index && at < from + 1000).length),
  )
}

async function worldOf(settings: { ratePerSecond: number; maxInFlight?: number }) {
  const receiver = await receiverOf()
  const one = await startEngine()
  // A second worker process on the same database, as good as one of its own: nothing is shared but the rows.
  const other = await startEngine({ address: one.address })
  const times: number[] = []
  let [inFlight, mostInFlight] = [0, 0]
  receiver.answers(async () => {
    times.push(performance.now())
    mostInFlight = Math.max(mostInFlight, ++inFlight)
    await new Promise((resolve) => setTimeout(resolve, 20))
    inFlight--
    return 200
  })
  const { ratePerSecond, ...rest } = settings
  const id = await one.addEndpoint(receiver.url, rest)
  await one.change(id, { ratePerSecond })
  return { receiver, one, other, id, times, mostInFlight: () => mostInFlight }
}

test('20 a second and 3 at a time are never more, with two workers', async () => {
  const { receiver, one, other, times, mostInFlight } = await worldOf({ ratePerSecond: 20, maxInFlight: 3 })
  const startedAt = performance.now()
  await Promise.all([one.publish(40), other.publish(40)])
  await receiver.waitForRequests(80, 20_000)
  expect(mostInASecond(times)).toBeLessThanOrEqual(20)
  expect(mostInFlight()).toBeLessThanOrEqual(3)
  // 80 at 18 a second are 4.4 s, and more where slots are missed on a busy machine. Held up by the three at a time, or by the
  // pauses of those who admit, they would take 27.
  expect(performance.now() - startedAt).toBeLessThan(15_000)
})

test('a rate below one a second', async () => {
  const { receiver, one, times } = await worldOf({ ratePerSecond: 0.5 })
  await one.publish(3)
  await receiver.waitForRequests(3, 10_000)
  const [a, b, c] = times as [number, number, number]
  for (const gap of [b - a, c - b]) {
    expect(gap).toBeGreaterThan(2000)
    expect(gap).toBeLessThan(3500)
  }
})

test('tests and retries by hand keep to the rate as well', async () => {
  const { receiver, one, id, times } = await worldOf({ ratePerSecond: 5 })
  await one.publish(2)
  await receiver.waitForRequests(2)
  const rows = await eventually(async () => {
    const settled = await one.deliveries()
    expect(settled.every(({ state }) => state === 'DELIVERED')).toBe(true)
    return settled
  })
  await Promise.all([
    ...rows.map(({ id }) => one.redeliverer.retry(one.viewer, id)),
    ...Array.from({ length: 4 }, () => testEndpoint(one, one.viewer, id, null)),
  ])
  await receiver.waitForRequests(8, 10_000)
  expect(mostInASecond(times)).toBeLessThanOrEqual(5)
})

test('what waits for its slot goes back when the worker stops, and out with the next one', async () => {
  const { receiver, one, other } = await worldOf({ ratePerSecond: 2 })
  await other.stop()
  await one.publish(4)
  await receiver.waitForRequests(1)
  await one.stop()
  const next = await startEngine({ address: one.address })
  await receiver.waitForRequests(4, 10_000)
  await eventually(async () =>
    expect((await next.deliveries()).map(({ state, attemptsMade }) => [state, attemptsMade])).toEqual(
      Array(4).fill(['DELIVERED', 1]),
    ),
  )
})

test.each(['deleted', 'paused'])('what is %s while it waits for its slot is not sent', async (what) => {
  const { receiver, one, other, id } = await worldOf({ ratePerSecond: 1 })
  await other.stop()
  await one.publish(2)
  await receiver.waitForRequests(1)
  await eventually(async () => {
    const rows = await one.deliveries()
    expect(rows.map(({ state }) => state).sort()).toEqual(['DELIVERED', 'PENDING'])
    const row = rows.find(({ state }) => state === 'PENDING')
    expect(row?.ticketId).toBeTruthy()
  })
  if (what === 'paused') await one.change(id, { state: 'PAUSED' })
  else await deleteEndpoint(one, one.viewer, id)
  await eventually(async () => expect(await one.ticketsIn('deliver')).toBe(0), 4000)
  expect(receiver.requests).toHaveLength(1)
})

test('slots are a little farther apart than the rate asks for', () => {
  const from = new Date('2026-03-01T08:00:00.000Z')
  expect(slotAfter(from, 20).getTime() - from.getTime()).toBe(55)
  expect(slotAfter(from, 0.5).getTime() - from.getTime()).toBe(2200)
})
