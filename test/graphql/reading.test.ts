import { expect, test } from 'vitest'
import { startReceiver } from '../support/receiver.ts'
import { type Dig, startApi } from './api.ts'

const CREATE =
  'mutation ($input: EndpointCreateInput!) { endpointCreate(input: $input) { endpoint { id } userErrors { message } } }'
const PUBLISH =
  'mutation ($input: EventPublishInput!) { eventPublish(input: $input) { event { id } userErrors { message } } }'

test('an attempt is told in full: what was sent, what came back, how long it took', async () => {
  const { ask } = await startApi({ worker: true })
  const receiver = await startReceiver()
  receiver.answers(
    { status: 500, body: 'no\u00fc', headers: { 'x-why': 'because' } },
    { status: 200, body: Buffer.from([0xff, 0x00]) },
  )
  await ask(CREATE, { input: { url: receiver.url, retry: { delaysSeconds: [1] } } })
  await ask(PUBLISH, { input: { type: 'invoice.paid', payloadJson: '{"n":1.10}' } })
  await receiver.waitForRequests(2, 10_000)
  const first = receiver.requests[0]

  const READ = `{
    deliveries(first: 5) { nodes {
      id state waitingFor attemptsMade nextAttemptAt settledAt eventType
      event { id type payloadJson routedAt } endpoint { url }
      lastAttempt { number }
      attempts(first: 5) { feedCursor nodes {
        id number trigger startedAt durationMs succeeded errorClass errorMessage remoteAddress eventType
        delivery { id }
        request { method url headers { name value } body bodyBytes }
        response { status headers { name value } body bodyBase64 bodyBytes truncated }
        timings { connectMs firstByteMs totalMs reusedConnection }
      } }
    } }
  }`
  const delivery = await eventually(async () => {
    const { deliveries } = await ask(READ)
    const one = deliveries?.nodes?.[0]
    return String(one?.state) === 'DELIVERED' ? one : null
  })
  expect(delivery).toMatchObject({
    state: 'DELIVERED',
    waitingFor: null,
    attemptsMade: 2,
    nextAttemptAt: null,
    settledAt: expect.any(String),
    eventType: 'invoice.paid',
    event: { type: 'invoice.paid', payloadJson: '{"n":1.10}', routedAt: expect.any(String) },
    endpoint: { url: receiver.url },
    lastAttempt: { number: 2 },
    attempts: {
      feedCursor: expect.any(String),
      nodes: [
        {
          number: 2,
          succeeded: true,
          errorClass: null,
          errorMessage: null,
          response: { status: 200, body: null, bodyBase64: '/wA=', bodyBytes: 2, truncated: false },
        },
        {
          number: 1,
          trigger: 'SCHEDULE',
          succeeded: false,
          errorClass: 'HTTP_STATUS',
          errorMessage: expect.stringContaining('500'),
          remoteAddress: '127.0.0.1',
          request: { method: 'POST', url: receiver.url, body: first?.body.toString(), bodyBytes: first?.body.length },
          response: { status: 500, body: 'noü', bodyBytes: 4, truncated: false },
          timings: {
            connectMs: expect.any(Number),
            firstByteMs: expect.any(Number),
            totalMs: expect.any(Number),
            reusedConnection: false,
          },
        },
      ],
    },
  })
  const attempt = delivery.attempts?.nodes?.[1] as Dig
  expect(attempt.delivery).toEqual({ id: delivery?.id })
  expect(attempt.response?.headers).toContainEqual({ name: 'x-why', value: 'because' })
  // All of them, in the order in which they came.
  expect(attempt.request?.headers).toEqual(first?.rawHeaders.map(([name, value]) => ({ name, value })))
  const { node } = await ask('query ($id: ID!) { node(id: $id) { __typename ... on Attempt { number } } }', {
    id: attempt.id,
  })
  expect(node).toEqual({ __typename: 'Attempt', number: 1 })
})

test('lists within lists are read with a few statements, however long they are', async () => {
  const { ask, db } = await startApi({ worker: true })
  const receiver = await startReceiver()
  const urls = ['/a', '/b', '/c'].map((path) => new URL(path, receiver.url).href)
  for (const url of urls) await ask(CREATE, { input: { url } })
  const ids: string[] = []
  for (let i = 0; i < 10; i++)
    ids.unshift(String((await ask(PUBLISH, { input: { type: 'a', payload: i } })).eventPublish?.event?.id))
  await receiver.waitForRequests(30, 10_000)
  await eventually(async () =>
    (await db.sql`select 1 from postrider.deliveries where state = 'PENDING'`).length === 0 ? true : null,
  )

  const statements = countStatements(db)
  type Nodes<T> = { nodes: T[] }
  type Answer = {
    events: Nodes<{
      id: string
      payload: number
      deliveries: Nodes<{
        endpoint: { url: string }
        attempts: Nodes<{ number: number; request: { body: string } }>
      }> & { pageInfo: object }
    }>
  }
  const { events } = await ask<Answer>(`{ events { nodes { id payload
    deliveries(first: 2) { pageInfo { hasNextPage } nodes { endpoint { url } attempts(first: 1) { nodes { number request { body } response { body } } } } }
  } } }`)
  // Ten of its own; a look at which keys live may fall into them.
  expect(statements()).toBeLessThanOrEqual(11)

  expect(events.nodes.map((event) => event.id)).toEqual(ids)
  for (const [index, event] of events.nodes.entries()) {
    expect(event.payload).toBe(9 - index)
    expect(event.deliveries).toMatchObject({ pageInfo: { hasNextPage: true } })
    expect(event.deliveries.nodes).toHaveLength(2)
    for (const { endpoint, attempts } of event.deliveries.nodes) {
      expect(urls).toContain(endpoint.url)
      expect(attempts.nodes).toMatchObject([{ number: 1 }])
      expect(JSON.parse(attempts.nodes[0]?.request.body as string)).toMatchObject({ id: event.id, data: event.payload })
    }
  }
  const { endpoints } = await ask<{ endpoints: Nodes<{ deliveries: Nodes<{ event: { id: string } }> }> }>(
    '{ endpoints { nodes { deliveries(first: 4) { nodes { event { id } } } } } }',
  )
  for (const { deliveries } of endpoints.nodes)
    expect(deliveries.nodes.map(({ event }) => event.id)).toEqual(ids.slice(0, 4))
})

test('a delivery to a paused endpoint says so, and goes out when it is resumed', async () => {
  const { ask } = await startApi({ worker: true })
  const receiver = await startReceiver()
  const { endpointCreate } = await ask(CREATE, { input: { url: receiver.url } })
  const id = endpointCreate?.endpoint?.id
  await ask('mutation ($id: ID!) { endpointPause(id: $id) { endpoint { id } } }', { id })
  await ask(PUBLISH, { input: { type: 'a', payload: 1 } })
  const FIRST =
    'query ($ids: [ID!]) { deliveries(filter: { endpointIds: $ids, states: [PENDING] }) { nodes { state waitingFor } } }'
  const waiting = await eventually(async () => {
    const { deliveries } = await ask<{ deliveries: { nodes: object[] } }>(FIRST, { ids: [id] })
    return deliveries.nodes.length > 0 ? deliveries.nodes : null
  })
  expect(waiting).toEqual([{ state: 'PENDING', waitingFor: 'PAUSED' }])
  await ask('mutation ($id: ID!) { endpointResume(id: $id) { endpoint { id } } }', { id })
  await receiver.waitForRequests(1, 10_000)
})

async function eventually<T>(look: () => Promise<T | null | undefined>): Promise<T> {
  const deadline = Date.now() + 10_000
  for (;;) {
    const seen = await look()
    if (seen !== null && seen !== undefined) return seen
    if (Date.now() > deadline) throw new Error('It did not come to be within 10 s')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** How many statements Drizzle has sent since. */
function countStatements({ orm }: Awaited<ReturnType<typeof startApi>>['db']): () => number {
  const client = (orm as unknown as { session: { client: { unsafe: (...all: never[]) => unknown } } }).session.client
  const original = client.unsafe
  let count = 0
  client.unsafe = (...all) => {
    count++
    return original.apply(client, all)
  }
  return () => {
    client.unsafe = original
    return count
  }
}

test('a pending delivery tells when it will be tried, and a paused or settled one plans nothing', async () => {
  const { ask } = await startApi({ worker: true })
  const receiver = await startReceiver()
  receiver.answers(500)
  const { endpointCreate } = await ask(CREATE, {
    input: { url: receiver.url, retry: { delaysSeconds: [100, 200, 400] } },
  })
  await ask(PUBLISH, { input: { type: 'invoice.paid', payload: 1 } })
  const READ = '{ deliveries { nodes { id state attemptsMade nextAttemptAt plannedAttempts } } }'
  const read = async () => (await ask(READ)).deliveries?.nodes?.[0] as Dig
  const delivery = await eventually(async () => {
    const one = await read()
    return Number(one?.attemptsMade) === 1 ? one : null
  })
  const times = (delivery.plannedAttempts as unknown as string[]).map((at) => Date.parse(at))
  expect(times).toHaveLength(3)
  expect(times[0]).toBe(Date.parse(String(delivery.nextAttemptAt)))
  expect(times.slice(1).map((at, index) => at - (times[index] as number))).toEqual([200_000, 400_000])

  const id = endpointCreate?.endpoint?.id
  await ask('mutation ($id: ID!) { endpointPause(id: $id) { userErrors { code } } }', { id })
  expect(await read()).toMatchObject({ state: 'PENDING', plannedAttempts: [] })
  await ask('mutation ($id: ID!) { endpointResume(id: $id) { userErrors { code } } }', { id })
  await ask('mutation ($id: ID!) { deliveryCancel(id: $id) { userErrors { code } } }', { id: delivery.id })
  expect(await read()).toMatchObject({ state: 'CANCELLED', plannedAttempts: [] })
})

test('a test is told as what it is', async () => {
  const { ask } = await startApi({ worker: true })
  const receiver = await startReceiver()
  const { endpointCreate } = await ask(CREATE, { input: { url: receiver.url } })
  const { endpointTest } = await ask(
    `mutation ($id: ID!) { endpointTest(id: $id, type: "invoice.paid") { delivery { id state event { isTest type payload } } userErrors { code } } }`,
    { id: endpointCreate?.endpoint?.id },
  )
  const id = endpointTest?.delivery?.id
  expect(endpointTest).toEqual({
    delivery: {
      id,
      state: expect.stringMatching(/PENDING|DELIVERED/),
      event: { isTest: true, type: 'invoice.paid', payload: expect.objectContaining({ test: true }) },
    },
    userErrors: [],
  })
  const READ =
    'query ($id: ID!) { delivery(id: $id) { state plannedAttempts lastAttempt { trigger succeeded number } } }'
  const delivery = await eventually(async () => {
    const { delivery } = await ask(READ, { id })
    return String(delivery?.state) === 'DELIVERED' ? delivery : null
  })
  expect(delivery).toMatchObject({ plannedAttempts: [], lastAttempt: { trigger: 'TEST', succeeded: true, number: 1 } })
})
