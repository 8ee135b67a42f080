import { Webhook } from 'standardwebhooks'
import { expect, test } from 'vitest'
import { createEndpoint, publish, startServer } from '../support/app.ts'
import { eventually } from '../support/eventually.ts'
import { startReceiver } from '../support/receiver.ts'

const ATTEMPTS = `query ($filter: AttemptFilter) {
  attempts(filter: $filter) {
    nodes {
      number trigger succeeded errorClass errorMessage durationMs remoteAddress
      request { method url headers { name value } body bodyBytes }
      response { status headers { name value } body bodyBytes truncated }
      timings { connectMs firstByteMs totalMs }
      delivery { state attemptsMade nextAttemptAt waitingFor settledAt }
    }
  }
}`

test('a receiver that fails twice gets three attempts, on the schedule, each signed anew', async () => {
  const { api } = await startServer()
  const receiver = await startReceiver()
  receiver.answers({ status: 500, body: 'not yet' }, 500, {
    status: 200,
    headers: { 'x-served-by': 'story' },
    body: 'thanks',
  })
  const { id, secret } = await createEndpoint(api, { url: receiver.url, retry: { delaysSeconds: [1, 1] } })

  const event = await publish(api, { type: 'invoice.paid', payload: { amount: 1200 } })

  const requests = await receiver.waitForRequests(3, 20_000)
  const gaps = requests
    .slice(1)
    .map((request, index) => request.receivedAt.getTime() - (requests[index]?.receivedAt.getTime() ?? 0))
  // ±20 % jitter, and what it takes to notice, claim and send.
  for (const [index, seconds] of [1, 1].entries()) {
    expect(gaps[index]).toBeGreaterThanOrEqual(seconds * 800 - 20)
    expect(gaps[index]).toBeLessThanOrEqual(seconds * 1200 + 2000)
  }
  expect(new Set(requests.map(({ headers }) => headers['webhook-id']))).toEqual(new Set([event]))
  expect(requests.map(({ headers }) => headers['webhook-attempt'])).toEqual(['1', '2', '3'])
  expect(new Set(requests.map(({ headers }) => headers['webhook-timestamp'])).size).toBeGreaterThanOrEqual(2)
  expect(new Set(requests.map(({ headers }) => headers['webhook-signature'])).size).toBeGreaterThanOrEqual(2)
  for (const { body, headers } of requests) new Webhook(secret).verify(body.toString(), headers)

  const nodes = await eventually(async () => {
    const { attempts } = await api.ask<{ attempts: { nodes: Record<string, unknown>[] } }>(ATTEMPTS, {
      filter: { endpointIds: [id] },
    })
    expect(attempts.nodes).toHaveLength(3)
    return attempts.nodes
  })
  expect(nodes.map(({ number, succeeded, errorClass }) => [number, succeeded, errorClass])).toEqual([
    [3, true, null],
    [2, false, 'HTTP_STATUS'],
    [1, false, 'HTTP_STATUS'],
  ])
  expect(nodes[2]).toMatchObject({
    trigger: 'SCHEDULE',
    remoteAddress: '127.0.0.1',
    request: {
      method: 'POST',
      url: receiver.url,
      body: requests[0]?.body.toString(),
      bodyBytes: requests[0]?.body.length,
    },
    response: { status: 500, body: 'not yet', bodyBytes: 7, truncated: false },
    timings: { connectMs: expect.any(Number), firstByteMs: expect.any(Number), totalMs: expect.any(Number) },
  })
  expect(nodes[0]).toMatchObject({
    response: {
      status: 200,
      headers: expect.arrayContaining([{ name: 'x-served-by', value: 'story' }]),
      body: 'thanks',
    },
    delivery: {
      state: 'DELIVERED',
      attemptsMade: 3,
      nextAttemptAt: null,
      waitingFor: null,
      settledAt: expect.any(String),
    },
  })
})
