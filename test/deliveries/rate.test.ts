import { expect, test } from 'vitest'
import { timeOf } from '../../schema/ids.ts'
import { nextSlot, slotAfter } from '../../src/deliveries/admission.ts'
import { deleteEndpoint } from '../../src/endpoints/save.ts'
import { testEndpoint } from '../../src/routing/test-delivery.ts'
import { receiverOf } from '../egress/world.ts'
import { movableClock, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

/** The most of these times within any second. */
function mostInASecond(times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b)
  return Math.max(
    ...sorted.map((from, index) => sorted.filter((at, later) => later >= index && at < from + 1000).length),
  )
}

async function worldOf(settings: { ratePerSecond: number; maxInFlight?: number }, { workers = 2 } = {}) {
  const receiver = await receiverOf()
  const one = await startEngine()
  // A second worker process on the same database, as good as one of its own: nothing is shared but the rows.
  const other = workers === 2 ? await startEngine({ address: one.address }) : one
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
  /** When so many attempts began. At the receiver, in this process, a moment in which it stands still brings several at once. */
  const sentAt = (count: number) =>
    eventually(async () => {
      const attempts = await one.attempts()
      expect(attempts).toHaveLength(count)
      return attempts.map(({ id }) => timeOf(id)).sort((a, b) => a - b)
    })
  return { receiver, one, other, id, times, sentAt, mostInFlight: () => mostInFlight }
}

test('20 a second and 3 at a time are never more, with two workers', async () => {
  const { receiver, one, other, times, sentAt, mostInFlight } = await worldOf({ ratePerSecond: 20, maxInFlight: 3 })
  const startedAt = performance.now()
  await Promise.all([one.publish(25), other.publish(25)])
  await receiver.waitForRequests(50, 20_000)
  // 50 at 18 a second are 2.8 s, and more where slots are missed on a busy machine. Held up by the three at a time, or by the
  // pauses of those who admit, they would take 17.
  expect(performance.now() - startedAt).toBeLessThan(12_000)
  expect(mostInASecond(await sentAt(50))).toBeLessThanOrEqual(20)
  expect(mostInASecond(times)).toBeLessThanOrEqual(20 + 3)
  expect(mostInFlight()).toBeLessThanOrEqual(3)
})

test('a rate below one a second', async () => {
  const { receiver, one, sentAt } = await worldOf({ ratePerSecond: 0.5 })
  await one.publish(2)
  await receiver.waitForRequests(2, 10_000)
  const [first, second] = (await sentAt(2)) as [number, number]
  expect(second - first).toBeGreaterThan(2000)
  // One that misses its slot gets the next, as late again.
  expect(second - first).toBeLessThan(5000)
})

test('tests and retries by hand keep to the rate as well', async () => {
  const { receiver, one, id, sentAt } = await worldOf({ ratePerSecond: 5 })
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
  expect(mostInASecond(await sentAt(8))).toBeLessThanOrEqual(5)
})

test('what waits for its slot goes back when the worker stops, and out with the next one', async () => {
  const { receiver, one } = await worldOf({ ratePerSecond: 2 }, { workers: 1 })
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
  const { receiver, one, id } = await worldOf({ ratePerSecond: 0.75 }, { workers: 1 })
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

test('a clock that was ahead for a moment does not stop an endpoint with a rate', async () => {
  const clock = movableClock()
  const engine = await startEngine({ clock })
  const receiver = await receiverOf()
  const id = await engine.addEndpoint(receiver.url)
  await engine.change(id, { ratePerSecond: 10 })
  clock.forward(2 * 3_600_000)
  await engine.publish()
  await receiver.waitForRequests(1)
  await eventually(async () => expect(await engine.deliveries()).toMatchObject([{ state: 'DELIVERED' }]))
  clock.forward(-2 * 3_600_000)
  await engine.publish(5)
  await receiver.waitForRequests(6, 10_000)
  const { nextSlotAt } = await engine.endpoint(id)
  expect(nextSlotAt?.getTime()).toBeLessThan(Date.now() + 10_000)
})

test.each`
  rate   | aheadMs   | waitsMs
  ${10}  | ${-5000}  | ${0}
  ${10}  | ${1500}   | ${1500}
  ${10}  | ${9000}   | ${9000}
  ${10}  | ${11_000} | ${0}
  ${0.1} | ${30_000} | ${30_000}
  ${0.1} | ${33_000} | ${0}
`('at $rate a second a slot $aheadMs ms ahead is waited for for $waitsMs ms', ({ rate, aheadMs, waitsMs }) => {
  const now = new Date('2026-03-01T08:00:00.000Z')
  const next = nextSlot(rate, new Date(now.getTime() + aheadMs), now)
  expect(next.getTime() - now.getTime()).toBe(waitsMs)
})

test('slots are a little farther apart than the rate asks for', () => {
  const from = new Date('2026-03-01T08:00:00.000Z')
  expect(slotAfter(from, 20).getTime() - from.getTime()).toBe(55)
  expect(slotAfter(from, 0.5).getTime() - from.getTime()).toBe(2200)
})
