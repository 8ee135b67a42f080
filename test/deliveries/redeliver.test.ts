import { describe, expect, test } from 'vitest'
import { type DeliveryId, newId } from '../../schema/ids.ts'
import { type OutboxTicket, route } from '../../src/routing/route.ts'
import { receiverOf } from '../egress/world.ts'
import { startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import type { Answer } from '../support/receiver.ts'
import { viewerOf } from '../support/viewer.ts'

const HOUR = 3600

/** An endpoint with one delivery that has been tried as often as there are answers. */
async function world(answers: [Answer, ...Answer[]], delaysSeconds: number[] = []) {
  const engine = await startEngine()
  const receiver = await receiverOf()
  receiver.answers(...answers)
  const endpoint = await engine.addEndpoint(receiver.url, { retryPolicy: { delaysSeconds } })
  await engine.publish()
  await receiver.waitForRequests(1)
  const delivery = async () => (await engine.deliveries())[0] as Awaited<ReturnType<typeof engine.deliveries>>[number]
  const tried = (times: number) =>
    eventually(async () => {
      const row = await delivery()
      expect(row).toMatchObject({ attemptsMade: times, ticketId: null, requestedTrigger: null })
      return row
    })
  const retry = async () => engine.redeliverer.retry(engine.viewer, (await delivery()).id)
  const cancel = async () => engine.redeliverer.cancel(engine.viewer, (await delivery()).id)
  return { engine, receiver, endpoint, delivery, tried, retry, cancel }
}

describe('a paused endpoint', () => {
  test('keeps what had tickets already and what comes, and gets all of it when it is resumed', async () => {
    const engine = await startEngine({ worker: false })
    const receiver = await receiverOf()
    const endpoint = await engine.addEndpoint(receiver.url, { maxInFlight: 3 })
    await engine.publish(10)
    await route(engine, (await engine.tickets.claim<OutboxTicket>('outbox', 16)).claims)
    expect(await engine.ticketsIn('deliver')).toBe(3)
    await engine.change(endpoint, { state: 'PAUSED' })

    const worker = await startEngine({ address: engine.address })
    await worker.publish(2)
    await eventually(async () => {
      const waiting = { state: 'PENDING', ticketId: null, waitingFor: 'ALLOWANCE', attemptsMade: 0 }
      expect(await engine.deliveries()).toMatchObject(Array(12).fill(waiting))
      expect(await engine.ticketsIn('deliver')).toBe(0)
    })
    expect(receiver.requests).toEqual([])

    await engine.change(endpoint, { state: 'ACTIVE', backlog: true })
    engine.wake.signal('promote')
    await eventually(async () => {
      expect(await engine.deliveries()).toMatchObject(Array(12).fill({ state: 'DELIVERED', attemptsMade: 1 }))
      expect(await engine.endpoint(endpoint)).toMatchObject({ backlog: false })
    })
    expect(receiver.requests).toHaveLength(12)
  })

  test('gets a retry by hand when it is resumed', async () => {
    const { engine, receiver, endpoint, delivery, tried, retry } = await world([500, 200])
    await tried(1)
    await engine.change(endpoint, { state: 'PAUSED' })
    await retry()
    expect(await delivery()).toMatchObject({ state: 'FAILED', requestedTrigger: 'MANUAL', waitingFor: 'REQUESTED' })
    expect(receiver.requests).toHaveLength(1)

    await engine.change(endpoint, { state: 'ACTIVE', backlog: true })
    engine.wake.signal('promote')
    expect(await tried(2)).toMatchObject({ state: 'DELIVERED' })
  })
})

describe('a retry by hand', () => {
  test('that succeeds delivers a failed delivery, with the next attempt number', async () => {
    const { engine, receiver, tried, retry } = await world([500, 200])
    const failed = await tried(1)
    expect(failed).toMatchObject({ state: 'FAILED' })
    await retry()
    const delivered = await tried(2)
    expect(delivered).toMatchObject({ state: 'DELIVERED', scheduledAttemptsMade: 1 })
    expect(delivered.settledAt?.getTime()).toBeGreaterThan(failed.settledAt?.getTime() as number)
    expect(receiver.requests.map(({ headers }) => headers['webhook-attempt'])).toEqual(['1', '2'])
    expect(new Set(receiver.requests.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
    expect((await engine.attempts()).map(({ trigger }) => trigger)).toEqual(['SCHEDULE', 'MANUAL'])
  })

  test.each([
    ['failed', 500, 'FAILED'],
    ['delivered', 200, 'DELIVERED'],
  ] as const)('that fails leaves a %s delivery as it was', async (_, first, state) => {
    const { tried, retry } = await world([first, 503], [])
    const before = await tried(1)
    expect(before).toMatchObject({ state })
    await retry()
    const { attemptsMade, lastAttemptId, ...after } = await tried(2)
    expect(lastAttemptId).not.toBe(before.lastAttemptId)
    expect(before).toMatchObject(after)
  })

  test('that fails leaves the schedule of a pending delivery as it was', async () => {
    const { tried, retry } = await world([500, 503], [HOUR, HOUR])
    const before = await tried(1)
    expect(before).toMatchObject({ state: 'PENDING', waitingFor: 'RETRY' })
    await retry()
    const { attemptsMade, lastAttemptId, ...after } = await tried(2)
    expect(before).toMatchObject(after)
  })

  test('that succeeds ends the schedule of a pending delivery', async () => {
    const { tried, retry } = await world([500, 200], [HOUR])
    await tried(1)
    await retry()
    expect(await tried(2)).toMatchObject({ state: 'DELIVERED', waitingFor: null, nextAttemptAt: null })
  })

  test('is refused while an attempt is in flight', async () => {
    const { delivery, receiver, retry } = await world([{ hang: true }])
    await expect(retry()).rejects.toMatchObject({ code: 'ATTEMPT_IN_FLIGHT', path: ['id'] })
    expect(await delivery()).toMatchObject({ requestedTrigger: null })
    expect(receiver.requests).toHaveLength(1)
  })

  test('is refused where the endpoint was deleted', async () => {
    const { engine, endpoint, tried, retry } = await world([500])
    await tried(1)
    await engine.change(endpoint, { deletedAt: new Date() })
    await expect(retry()).rejects.toMatchObject({ code: 'ENDPOINT_DELETED', path: ['id'] })
  })

  test("of another tenant's delivery, or of none, finds nothing", async () => {
    const { engine, delivery, tried } = await world([500])
    const before = await tried(1)
    const stranger = viewerOf(newId<'ten'>(new Date()))
    const { redeliverer, viewer, admin } = engine
    const nothing = { code: 'NOT_FOUND', path: ['id'] }
    await expect(redeliverer.retry(stranger, before.id)).rejects.toMatchObject(nothing)
    await expect(redeliverer.cancel(stranger, before.id)).rejects.toMatchObject(nothing)
    await expect(redeliverer.retry(viewer, newId<'dlv'>(new Date()) as DeliveryId)).rejects.toMatchObject(nothing)
    expect(await delivery()).toEqual(before)
    await expect(redeliverer.retry(admin, before.id)).resolves.toBeUndefined()
    await tried(2)
  })
})

describe('cancelling', () => {
  test('gives a pending delivery up for good', async () => {
    const { engine, receiver, delivery, tried, cancel } = await world([500], [1])
    await tried(1)
    await cancel()
    expect(await delivery()).toMatchObject({
      state: 'CANCELLED',
      waitingFor: null,
      nextAttemptAt: null,
      ticketId: null,
    })
    await expect(cancel()).rejects.toMatchObject({ code: 'NOT_PENDING', path: ['id'] })
    // When the ticket of its retry has come and gone, nothing was sent.
    await eventually(async () => expect(await engine.ticketsIn('retry')).toBe(0))
    expect(receiver.requests).toHaveLength(1)
  })

  test('is refused while an attempt is in flight: its place would be given to another one', async () => {
    const answered = Promise.withResolvers<void>()
    const engine = await startEngine()
    const receiver = await receiverOf()
    receiver.answers(async () => {
      await answered.promise
      return 500
    })
    await engine.addEndpoint(receiver.url)
    await engine.publish()
    await receiver.waitForRequests(1)
    const [pending] = await engine.deliveries()
    const cancel = () => engine.redeliverer.cancel(engine.viewer, pending?.id as DeliveryId)
    await expect(cancel()).rejects.toMatchObject({ code: 'ATTEMPT_IN_FLIGHT', path: ['id'] })
    answered.resolve()
    await eventually(async () => expect(await engine.deliveries()).toMatchObject([{ waitingFor: 'RETRY' }]))
    await cancel()
    expect(await engine.deliveries()).toMatchObject([{ state: 'CANCELLED', attemptsMade: 1 }])
  })

  test('of a delivered one is refused', async () => {
    const { tried, cancel } = await world([200])
    await tried(1)
    await expect(cancel()).rejects.toMatchObject({ code: 'NOT_PENDING', path: ['id'] })
  })
})
