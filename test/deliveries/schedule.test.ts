import { Webhook } from 'standardwebhooks'
import { expect, test } from 'vitest'
import { newId, publicId } from '../../schema/ids.ts'
import { promote } from '../../src/deliveries/promoter.ts'
import { silentLog } from '../../src/log.ts'
import { receiverOf } from '../egress/world.ts'
import { movableClock, SECRET, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

// On top of the jitter: claiming, sending and a busy machine.
const LATE_MS = 2000

test('a receiver that fails three times is asked again on the schedule until it takes the event', async () => {
  const receiver = await receiverOf()
  const { addEndpoint, publish, deliveries, attempts, ticketsIn } = await startEngine()
  const times: number[] = []
  receiver.answers((_, index) => {
    times.push(performance.now())
    return { status: index < 3 ? 500 : 200, headers: { 'x-try': String(index) }, body: `try ${index}` }
  })
  const delays = [1, 2, 4]
  const endpoint = await addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: delays } })
  const [event] = await publish()

  const requests = await receiver.waitForRequests(4, 15_000)
  const id = publicId('evt', event as NonNullable<typeof event>)
  expect(requests.map(({ headers }) => headers['webhook-id'])).toEqual(Array(4).fill(id))
  expect(requests.map(({ headers }) => headers['webhook-attempt'])).toEqual(['1', '2', '3', '4'])
  delays.forEach((seconds, i) => {
    const waitedMs = (times[i + 1] as number) - (times[i] as number)
    expect(waitedMs).toBeGreaterThanOrEqual(seconds * 800)
    expect(waitedMs).toBeLessThanOrEqual(seconds * 1200 + LATE_MS)
  })
  for (const { headers, body } of requests) {
    expect(new Webhook(SECRET).verify(body, headers)).toMatchObject({ id, data: { index: 0 } })
  }
  // The first two may fall into one second: there may be less than one between them.
  expect(new Set(requests.map(({ headers }) => headers['webhook-timestamp'])).size).toBeGreaterThanOrEqual(3)
  expect(new Set(requests.map(({ headers }) => headers['webhook-signature'])).size).toBeGreaterThanOrEqual(3)

  const [delivery] = await eventually(async () => {
    const rows = await deliveries()
    expect(rows).toMatchObject([{ state: 'DELIVERED', attemptsMade: 4, nextAttemptAt: null, waitingFor: null }])
    return rows
  })
  const rows = await attempts()
  expect(rows.map(({ number }) => number)).toEqual([1, 2, 3, 4])
  expect(delivery?.lastAttemptId).toBe(rows[3]?.id)
  for (const [index, row] of rows.entries()) {
    const request = requests[index]
    expect(row).toMatchObject({
      deliveryId: delivery?.id,
      eventId: event,
      endpointId: endpoint,
      eventType: 'invoice.paid',
      trigger: 'SCHEDULE',
      status: index < 3 ? 500 : 200,
      succeeded: index === 3,
      errorClass: index < 3 ? 'HTTP_STATUS' : null,
      method: 'POST',
      url: receiver.url,
      requestBytes: request?.body.length,
      responseBytes: 5,
      responseTruncated: false,
    })
    expect(row.remoteAddress).toContain('127.0.0.1')
    expect(row.firstByteMs).toBeGreaterThan(0)
    expect(row.durationMs).toBeGreaterThanOrEqual(Math.floor(row.firstByteMs as number))
    expect(JSON.parse(row.requestHeaders)).toContainEqual(['webhook-signature', request?.headers['webhook-signature']])
    expect(JSON.parse(row.responseHeaders as string)).toContainEqual(['x-try', String(index)])
  }
  await eventually(async () => expect(await ticketsIn('retry')).toBe(0))
})

test('a delivery whose last attempt fails is FAILED', async () => {
  const receiver = await receiverOf()
  receiver.answers(503)
  const { addEndpoint, publish, deliveries, attempts, ticketsIn } = await startEngine()
  await addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: [] } })
  await publish()
  await eventually(async () => {
    const rows = await deliveries()
    expect(rows).toMatchObject([
      { state: 'FAILED', attemptsMade: 1, nextAttemptAt: null, ticketId: null, waitingFor: null },
    ])
    expect(rows[0]?.settledAt).toBeInstanceOf(Date)
  })
  expect(await attempts()).toMatchObject([{ number: 1, status: 503 }])
  expect(await ticketsIn('retry')).toBe(0)
})

test('a retry hours away leaves no ticket, and goes when its row is due', async () => {
  const clock = movableClock()
  const receiver = await receiverOf()
  receiver.answers(500, 200)
  const { addEndpoint, publish, deliveries, ticketsIn } = await startEngine({ clock })
  await addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: [5 * 3600] } })
  await publish()
  await eventually(async () => expect(await deliveries()).toMatchObject([{ waitingFor: 'RETRY', attemptsMade: 1 }]))
  expect(await ticketsIn('retry')).toBe(0)

  clock.forward(6 * 3_600_000)
  await receiver.waitForRequests(2)
  await eventually(async () => expect(await deliveries()).toMatchObject([{ state: 'DELIVERED', attemptsMade: 2 }]))
})

test('a retry ticket left from an earlier wait does not bring the next attempt forward', async () => {
  const clock = movableClock()
  const receiver = await receiverOf()
  const { addEndpoint, publish, deliveries, db, tickets, wake, ...engine } = await startEngine({ clock })
  receiver.answers(500)
  const endpoint = await addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: [3600 * 5] } })
  await publish()
  const [delivery] = await eventually(async () => {
    const rows = await deliveries()
    expect(rows).toMatchObject([{ waitingFor: 'RETRY' }])
    return rows
  })
  await engine.stop()
  await tickets.enqueue(db.sql, 'retry', [{ id: newId(new Date()), data: { delivery: delivery?.id, endpoint } }])

  await expect(promote({ db, tickets, wake, clock, log: silentLog })).resolves.toMatchObject({ admitted: 0 })
  expect(await deliveries()).toEqual([delivery])
  expect(await engine.ticketsIn('retry')).toBe(0)

  clock.forward(7 * 3_600_000)
  await expect(promote({ db, tickets, wake, clock, log: silentLog })).resolves.toMatchObject({ admitted: 1 })
})
