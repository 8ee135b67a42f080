import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { trust } from '../../src/http/socket.ts'
import { silentLog } from '../../src/log.ts'
import type { Living } from '../../src/tenants/living.ts'
import { createCallerWatch } from '../../src/tenants/watch.ts'
import { startApi } from '../graphql/api.ts'
import { eventually } from '../support/eventually.ts'
import { viewerOf } from '../support/viewer.ts'
import { openSocket, type RawSocket, request } from './raw.ts'

const WATCH = 'subscription { deliveryAttempts { cursor } }'
const ENDED = {
  message: expect.stringContaining('A valid API key or portal session is needed'),
  extensions: { code: 'UNAUTHENTICATED' },
}

type World = Awaited<ReturnType<typeof world>>

async function world(options: Parameters<typeof startApi>[0] = {}) {
  const api = await startApi(options)
  const port = Number(new URL(api.url).port)
  const revoke = (key: string) =>
    api.db.sql`update postrider.api_keys set revoked_at = now() where hash = sha256(${key}::text::bytea)`
  return { ...api, port, revoke }
}

/** Follows the feed over both transports with one key. */
async function follow({ port, url, feed }: World, key: string) {
  const before = feed.subscribers()
  const socket = await openSocket(port)
  await greet(socket, key)
  socket.send(subscribe('feed', key))
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${key}` },
    body: JSON.stringify({ query: WATCH }),
  })
  await eventually(() => expect(feed.subscribers()).toBe(before + 2))
  const sse = response.text()
  // Some live on until the server ends.
  sse.catch(() => {})
  return { socket, sse }
}

async function greet(socket: RawSocket, key: string) {
  socket.send(JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${key}` } }))
  await eventually(() => expect(socket.messages).toContain('{"type":"connection_ack"}'))
}

const subscribe = (id: string, key: string) =>
  JSON.stringify({
    type: 'subscribe',
    id,
    payload: { query: WATCH, extensions: { headers: { authorization: `Bearer ${key}` } } },
  })

async function hasEnded({ socket, sse }: Awaited<ReturnType<typeof follow>>) {
  expect(await socket.closed).toBe(4401)
  expect(JSON.parse(socket.messages.at(-1) as string)).toMatchObject({ type: 'error', id: 'feed', payload: [ENDED] })
  const text = await sse
  expect(JSON.parse(/^data: (\{.*errors.*)$/m.exec(text)?.[1] as string)).toEqual({ errors: [ENDED] })
  expect(text).toContain('event: complete')
}

test('a key that is revoked ends what lives by it, at once, and nothing else', async () => {
  const api = await world({ callerPollMs: 600_000 })
  const key = await api.newKey()
  const followed = await follow(api, key)
  const idle = await openSocket(api.port)
  await greet(idle, key)
  const others = await follow(api, api.adminKey)

  await api.revoke(key)
  const revokedAt = performance.now()
  api.wake.signal('credentials')

  await hasEnded(followed)
  // Nothing is on it, and nothing could be.
  expect(await idle.closed).toBe(4401)
  expect(performance.now() - revokedAt).toBeLessThan(10_000)
  await eventually(() => expect(api.feed.subscribers()).toBe(2))
  expect(others.socket.socket.destroyed).toBe(false)
  expect((await api.send('{ viewer { name } }', {}, key)).status).toBe(401)
})

test('where no word of it comes, the poll notices', async () => {
  const api = await world({ callerPollMs: 100 })
  const key = await api.newKey()
  const followed = await follow(api, key)
  await api.revoke(key)
  await hasEnded(followed)
})

test('a key that expires ends what lives by it, then', async () => {
  const api = await world({ callerPollMs: 600_000 })
  const expiresAt = new Date(Date.now() + 5000)
  const key = await api.newKey({ expiresAt })
  const followed = await follow(api, key)
  await hasEnded(followed)
  expect(Date.now()).toBeGreaterThanOrEqual(expiresAt.getTime())
  expect(Date.now() - expiresAt.getTime()).toBeLessThan(10_000)
})

test('a socket on which somebody else’s operation is under way stays until that has ended', async () => {
  const api = await world({ callerPollMs: 600_000 })
  const key = await api.newKey()
  const { socket } = await follow(api, key)
  socket.send(subscribe('other', api.adminKey))
  await eventually(() => expect(api.feed.subscribers()).toBe(3))
  await api.revoke(key)
  api.wake.signal('credentials')
  await eventually(() => expect(socket.messages.at(-1)).toContain('UNAUTHENTICATED'))
  socket.send('{"type":"ping"}')
  await eventually(() => expect(socket.messages.at(-1)).toContain('pong'))
  expect(api.feed.subscribers()).toBe(1)
})

test('one statement asks for all callers, and none where nothing lives by them', async () => {
  const asked: number[] = []
  let listener = () => {}
  const living = new Map() as Living
  const callers = createCallerWatch({
    living: async (ids) => {
      asked.push(ids.length)
      return living
    },
    wake: {
      on: (_topic, call) => {
        listener = call
        return () => {}
      },
    },
    clock: { now: () => new Date() },
    log: silentLog,
    pollMs: 30,
  })
  listener()
  const viewers = Array.from({ length: 100 }, () => viewerOf(null))
  for (const { id } of viewers) living.set(id as NonNullable<typeof id>, null)
  let ended = 0
  const stops = viewers.flatMap((viewer) => [1, 2, 3].map(() => callers.watch(viewer, () => ended++)))
  expect(callers.watched()).toBe(100)
  await eventually(() => expect(asked.length).toBeGreaterThan(3))
  expect(new Set(asked)).toEqual(new Set([100]))

  living.delete(viewers[0]?.id as never)
  await eventually(() => expect(ended).toBe(3))
  for (const stop of stops) stop()
  expect(callers.watched()).toBe(0)
  const before = asked.length
  listener()
  // As long as several polls would take.
  await new Promise((resolve) => setTimeout(resolve, 150))
  expect(asked.length - before).toBeLessThanOrEqual(1)
  callers.close()
})

test('while the database does not answer, nobody is ended', async () => {
  let works = true
  let asked = 0
  const viewer = viewerOf(null)
  const living = new Map([[viewer.id, null]]) as Living
  const callers = createCallerWatch({
    living: async () => {
      asked++
      if (!works) throw new Error('away')
      return living
    },
    wake: { on: () => () => {} },
    clock: { now: () => new Date() },
    log: silentLog,
    pollMs: 10,
  })
  let ended = false
  callers.watch(viewer, () => {
    ended = true
  })
  works = false
  await eventually(() => expect(asked).toBeGreaterThan(4))
  expect(ended).toBe(false)
  living.clear()
  works = true
  await eventually(() => expect(ended).toBe(true))
  callers.close()
})

test('a key that is revoked while the body of its request is held open is of no use', async () => {
  const api = await world()
  const key = await api.newKey()
  const body = JSON.stringify({ query: '{ viewer { name } }' })
  const bytes = request(body, { authorization: `Bearer ${key}`, expect: '100-continue' })
  const socket = connect(api.port, '127.0.0.1')
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.write(bytes.subarray(0, -1))
  // Let in, and waited for.
  await eventually(() => expect(text).toContain('HTTP/1.1 100'))
  await api.revoke(key)
  // Longer than a body may take that is trusted to belong to a key that was good a moment ago.
  await new Promise((resolve) => setTimeout(resolve, 1100))
  socket.write(bytes.subarray(-1))
  await eventually(() => expect(text).toMatch(/HTTP\/1.1 [2-5]/))
  expect(text).toContain('HTTP/1.1 401')
  socket.destroy()
})

test('nobody is watched for a socket that closed while its key was looked up', () => {
  let watched = 0
  const watch = () => {
    watched++
    return () => {}
  }
  const guest = { address: null, caller: null, over: false, gone: true, stopWatching() {}, trusted() {}, end() {} }
  trust({ extra: guest, subscriptions: {} } as never, viewerOf(null), { watch })
  expect(watched).toBe(0)
})
