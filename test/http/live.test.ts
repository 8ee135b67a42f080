import { once } from 'node:events'
import { createClient } from 'graphql-ws'
import { expect, test } from 'vitest'
import WebSocket from 'ws'
import { type Feed, type FeedItem, FeedOverflow } from '../../src/attempts/feed.ts'
import { startApi } from '../graphql/api.ts'
import { eventually } from '../support/eventually.ts'
import { waitingForLocks } from '../support/locks.ts'
import { startReceiver } from '../support/receiver.ts'

const WATCH =
  'subscription ($after: String, $filter: AttemptFilter) { deliveryAttempts(after: $after, filter: $filter) { __typename cursor ... on AttemptRecorded { attempt { number eventType request { body } } } } }'
type Item = { __typename: string; cursor: string; attempt?: { eventType: string } }

async function world() {
  const api = await startApi({ worker: true })
  const receiver = await startReceiver()
  await api.ask('mutation ($url: String!) { endpointCreate(input: { url: $url }) { secret } }', { url: receiver.url })
  const publish = (type: string) =>
    api.ask('mutation ($type: String!) { eventPublish(input: { type: $type, payload: 1 }) { event { id } } }', { type })
  return { ...api, receiver, publish }
}

function client(url: string, connectionParams: Record<string, unknown>) {
  return createClient({
    url: url.replace('http', 'ws'),
    connectionParams,
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    lazyCloseTimeout: 0,
  })
}

const recorded = (items: AsyncIterable<{ data?: unknown; errors?: unknown }>) => {
  const iterator = items[Symbol.asyncIterator]()
  return {
    async next(): Promise<Item> {
      for (;;) {
        const { value, done } = await iterator.next()
        if (done) throw new Error('The feed ended')
        if (value.errors) throw new Error(JSON.stringify(value.errors))
        const item = (value.data as { deliveryAttempts: Item }).deliveryAttempts
        if (item.__typename === 'AttemptRecorded') return item
      }
    },
    return: () => iterator.return?.(),
  }
}

test('attempts arrive over WebSocket as they are recorded, and a new connection goes on where the last one was', async () => {
  const { url, adminKey, publish, feed } = await world()
  const one = client(url, { authorization: `Bearer ${adminKey}` })
  const live = recorded(one.iterate({ query: WATCH }))
  const first = live.next()
  await eventually(() => expect(feed.subscribers()).toBe(1))
  await publish('a')
  expect((await first).attempt).toMatchObject({
    eventType: 'a',
    number: 1,
    request: { body: expect.stringContaining('"type":"a"') },
  })
  await live.return()
  await eventually(() => expect(feed.subscribers()).toBe(0))

  await publish('b')
  const two = client(url, { Authorization: `Bearer ${adminKey}` })
  const again = recorded(two.iterate({ query: WATCH, variables: { after: (await first).cursor } }))
  expect((await again.next()).attempt?.eventType).toBe('b')
  await two.dispose()
  await eventually(() => expect(feed.subscribers()).toBe(0))
  await one.dispose()
})

test('the same over SSE; a client that leaves is noticed', async () => {
  const { url, adminKey, publish, feed, server } = await world()
  const leaving = new AbortController()
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${adminKey}` },
    body: JSON.stringify({ query: WATCH, variables: { filter: { eventTypes: ['b'] } } }),
    signal: leaving.signal,
  })
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  await eventually(() => expect(feed.subscribers()).toBe(1))
  await publish('a')
  await publish('b')
  let text = ''
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString()
    if (text.includes('AttemptRecorded')) break
  }
  expect(text).toContain('"eventType":"b"')
  expect(text).not.toContain('"eventType":"a"')
  leaving.abort()
  await eventually(() => expect(feed.subscribers()).toBe(0))
  const began = Date.now()
  await server.close()
  expect(Date.now() - began).toBeLessThan(1000)
})

test('closing the server ends what is live, on both transports', async () => {
  const { url, adminKey, server, feed } = await world()
  const one = client(url, { authorization: `Bearer ${adminKey}` })
  const overSocket = recorded(one.iterate({ query: WATCH })).next()
  overSocket.catch(() => {})
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${adminKey}` },
    body: JSON.stringify({ query: WATCH }),
  })
  await eventually(() => expect(feed.subscribers()).toBe(2))
  const began = Date.now()
  await server.close()
  expect(Date.now() - began).toBeLessThan(3000)
  await eventually(() => expect(feed.subscribers()).toBe(0))
  await expect(overSocket).rejects.toBeDefined()
  await expect(response.text()).rejects.toBeDefined()
})

test('a server that stops says so to its load balancer first, then to WebSockets, and answers what is under way', async () => {
  const { url, server, db, adminKey, ask } = await world()
  const ready = async () => (await fetch(url.replace('/graphql', '/ready'))).status
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws')
  const closed = once(socket, 'close')
  await once(socket, 'open')
  expect([await ready(), await ready()]).toEqual([200, 200])
  const end = Promise.withResolvers<void>()
  const held = Promise.withResolvers<void>()
  const holding = db.transaction(async (tx) => {
    await tx`lock table postrider.events in share mode`
    held.resolve()
    await end.promise
  })
  await held.promise
  const underWay = ask('mutation { eventPublish(input: { type: "a", payload: 1 }) { event { id } } }')
  await eventually(async () => expect(await waitingForLocks(db)).toBe(1))

  const closing = server.close()

  // Those that have not heard yet still find it open.
  const late = await fetch(url, { method: 'POST', headers: { authorization: `Bearer ${adminKey}` } })
  expect(late.headers.get('connection')).toBe('close')
  expect(socket.readyState).toBe(WebSocket.OPEN)
  expect(await ready()).toBe(503)
  expect((await closed)[0]).toBe(1001)
  await expect(ready()).rejects.toThrow()
  end.resolve()
  await holding
  expect(await underWay).toMatchObject({ eventPublish: { event: {} } })
  await closing
})

test('over WebSocket a bad operation is answered, and the socket lives on', async () => {
  const { url, adminKey } = await world()
  const one = client(url, { authorization: `Bearer ${adminKey}` })
  let closed = 0
  one.on('closed', () => closed++)
  const run = async (query: unknown, variables?: Record<string, unknown>) => {
    const iterator = one.iterate({ query: query as string, variables: variables ?? null })
    try {
      for await (const result of iterator) return result
      return 'nothing'
    } catch (error) {
      return { errors: error }
    }
  }
  const keepOpen = one.iterate({ query: WATCH })
  keepOpen.next().catch(() => {})
  expect(await run('{ viewer { name } }')).toMatchObject({ data: { viewer: { name: 'test' } } })
  expect(await run('{{{')).toMatchObject({ errors: [{ message: expect.stringContaining('Syntax Error') }] })
  const invalid = await run('{ nonsense }')
  expect(invalid).toMatchObject({ errors: [{ message: expect.stringContaining('nonsense') }] })
  expect(JSON.stringify(invalid)).not.toContain('http')
  expect(await run('subscription { deliveryAttempts(after: "nonsense") { cursor } }')).toMatchObject({
    errors: [{ extensions: { code: 'INVALID_INPUT', path: ['after'] } }],
  })
  expect(await run('subscription { deliveryAttempts(filter: { eventTypes: [] }) { cursor } }')).toMatchObject({
    errors: [{ extensions: { code: 'INVALID_INPUT', path: ['filter', 'eventTypes'] } }],
  })
  expect(await run('subscription { deliveryAttempts(tenant: "nobody") { cursor } }')).toMatchObject({
    errors: [{ extensions: { code: 'NOT_FOUND', path: ['tenant'] } }],
  })
  expect(
    await run('mutation { eventPublish(input: { type: "a", payload: 9007199254740993 }) { userErrors { code } } }'),
  ).toMatchObject({ data: { eventPublish: { userErrors: [{ code: 'NUMBER_WOULD_CHANGE' }] } } })
  expect(closed).toBe(0)
  await keepOpen.return?.()
  await one.dispose()
})

test('numbers in variables survive the WebSocket, or are refused', async () => {
  const { url, adminKey } = await world()
  const answer = await overSocket(
    url,
    `{"authorization":"Bearer ${adminKey}"}`,
    `{"query":"mutation ($p: JSON) { eventPublish(input: { type: \\"a\\", payload: $p }) { userErrors { code path } } }","variables":{"p":{"n":9007199254740993}}}`,
  )
  expect(answer).toMatchObject({
    payload: {
      data: { eventPublish: { userErrors: [{ code: 'NUMBER_WOULD_CHANGE', path: ['input', 'payload', 'n'] }] } },
    },
  })
})

test('over WebSocket no operation goes without a valid key; GraphiQL sends it with each of them', async () => {
  const { url, adminKey, newKey } = await world()
  const publisher = await newKey({ scopes: ['PUBLISH'] })
  const unauthenticated = { type: 'error', payload: [{ extensions: { code: 'UNAUTHENTICATED' } }] }
  expect(await overSocket(url, '{}', '{"query":"{ viewer { name } }"}')).toMatchObject(unauthenticated)
  expect(await overSocket(url, '{"authorization":"Bearer prk_wrong"}', '{"query":"{ nonsense }"}')).toMatchObject(
    unauthenticated,
  )
  expect(
    await overSocket(
      url,
      '{}',
      `{"query":"{ viewer { name } }","extensions":{"headers":{"Authorization":"Bearer ${adminKey}"}}}`,
    ),
  ).toMatchObject({ type: 'next', payload: { data: { viewer: { name: 'test' } } } })
  expect(
    await overSocket(url, `{"authorization":"Bearer ${publisher}"}`, JSON.stringify({ query: WATCH })),
  ).toMatchObject({ payload: { errors: [{ extensions: { code: 'FORBIDDEN' } }] } })
})

test('a subscriber that is too slow is told where to go on, on both transports', async () => {
  const overflow: Feed = {
    cursor: async () => 'here',
    subscribers: () => 0,
    close() {},
    subscribe: async () => {
      const iterator: AsyncIterableIterator<FeedItem> = {
        next: () => Promise.reject(new FeedOverflow('go-on-here')),
        return: async () => ({ done: true, value: undefined }),
        [Symbol.asyncIterator]: () => iterator,
      }
      return iterator
    },
  }
  const { url, adminKey } = await startApi({ feed: overflow })
  const error = { message: expect.any(String), extensions: { code: 'FEED_OVERFLOW', cursor: 'go-on-here' } }
  const query = JSON.stringify(WATCH)
  expect(await overSocket(url, `{"authorization":"Bearer ${adminKey}"}`, `{"query":${query}}`)).toMatchObject({
    type: 'error',
    payload: [error],
  })
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${adminKey}` },
    body: `{"query":${query}}`,
  })
  const text = await response.text()
  expect(JSON.parse(/^data: (\{.*)$/m.exec(text)?.[1] as string)).toMatchObject({ errors: [error] })
  expect(text).toContain('event: complete')
})

test('a page of an unknown origin gets no WebSocket', async () => {
  const { url } = await startApi({ allowedOrigins: ['https://app.example.com'] })
  const open = (origin: string | undefined) =>
    new Promise<string>((resolve) => {
      const socket = new WebSocket(
        url.replace('http', 'ws'),
        'graphql-transport-ws',
        origin === undefined ? {} : { origin },
      )
      socket.on('open', () => {
        resolve('open')
        socket.close()
      })
      socket.on('error', (error) => resolve(error.message))
    })
  expect(await open(undefined)).toBe('open')
  expect(await open('https://app.example.com')).toBe('open')
  expect(await open(new URL(url).origin)).toBe('open')
  expect(await open('https://evil.example')).toContain('403')
})

test('too large a message closes its own socket only', async () => {
  const { url, send } = await startApi()
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws')
  await new Promise((resolve) => socket.on('open', resolve))
  const closed = new Promise((resolve) => socket.on('close', resolve))
  socket.on('error', () => {})
  socket.send('x'.repeat(6 * 1024 * 1024))
  expect(await closed).toBe(1009)
  expect((await send('{ viewer { name } }')).status).toBe(200)
})

/** Speaks the protocol by hand: the texts go out as they are. */
function overSocket(url: string, init: string, operation: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws')
    socket.on('error', reject)
    socket.on('close', (code) => reject(new Error(`closed with ${code}`)))
    socket.on('open', () => socket.send(`{"type":"connection_init","payload":${init}}`))
    socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as { type: string }
      if (message.type === 'connection_ack') return socket.send(`{"type":"subscribe","id":"1","payload":${operation}}`)
      resolve(message)
      socket.terminate()
    })
  })
}
