import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { createGate, networkOf } from '../../src/http/gate.ts'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import type { Viewer } from '../../src/tenants/access.ts'
import { bearerText } from '../../src/tenants/bearer-text.ts'
import { startApi } from '../graphql/api.ts'
import { eventually } from '../support/eventually.ts'
import { viewerOf } from '../support/viewer.ts'
import { openSocket } from './raw.ts'

const VIEWER = JSON.stringify({ query: '{ viewer { name } }' })

test('a key that asks more often than it may is told when to come back, over HTTP; another key is not', async () => {
  const { url, adminKey, newKey } = await startApi({ rateLimit: 2 })
  const other = await newKey()
  const post = async (key: string) => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` }
    const response = await fetch(url, { method: 'POST', headers, body: VIEWER })
    const { errors } = (await response.json()) as { errors?: { message: string; extensions: object }[] }
    const told = Object.fromEntries(
      ['retry-after', 'ratelimit-limit', 'ratelimit-remaining', 'ratelimit-reset'].map((name) => [
        name,
        response.headers.get(name),
      ]),
    )
    return { status: response.status, ...told, error: errors?.[0] }
  }
  const answers = await Promise.all(Array.from({ length: 40 }, () => post(adminKey)))
  const [served, refused] = [200, 429].map((status) => answers.filter((answer) => answer.status === status))
  // Two at once, and those that have become free while they were asked.
  expect(served?.length).toBeGreaterThanOrEqual(2)
  expect(served?.length).toBeLessThan(30)
  expect(served?.[0]).toMatchObject({ 'ratelimit-limit': '2', 'retry-after': null })
  expect(refused?.[0]).toMatchObject({
    'retry-after': '1',
    'ratelimit-limit': '2',
    'ratelimit-remaining': '0',
    'ratelimit-reset': '1',
    error: {
      message: expect.stringContaining('2 operations a second'),
      extensions: { code: 'RATE_LIMITED', retryAfterMs: expect.any(Number) },
    },
  })
  expect((await post(other)).status).toBe(200)
  await eventually(async () => expect((await post(adminKey)).status).toBe(200))
})

test('the portal sessions of a tenant share one rate, however many they are, and hold up nobody else', async () => {
  const { send, ask, newKey, newTenant } = await startApi({ rateLimit: 20 })
  await newTenant('acme')
  const maker = await newKey()
  const newSession = async (tenant: string) => {
    const session = `mutation { portalSessionCreate(input: { tenant: "${tenant}", scope: READ }) { token } }`
    return String((await ask(session, {}, maker)).portalSessionCreate?.token)
  }
  const tokens = await Promise.all(Array.from({ length: 10 }, () => newSession('default')))
  const ofAcme = await newSession('acme')
  const statuses = async (keys: readonly string[]) =>
    Promise.all(keys.map(async (key) => (await send('{ viewer { name } }', {}, key)).status))
  const started = performance.now()
  const answers = (await Promise.all(Array.from({ length: 10 }, () => statuses(tokens)))).flat()
  const served = answers.filter((status) => status === 200).length
  // The twenty, and what became free meanwhile.
  expect(served).toBeLessThanOrEqual(20 + Math.ceil((performance.now() - started) / 50))
  expect(answers).toContain(429)
  expect(await statuses([maker, ofAcme])).toEqual([200, 200])
})

test('a portal session beyond the rate of its tenant is refused without asking the database', async () => {
  let asked = 0
  const viewer: Viewer = { ...viewerOf(null), kind: 'PORTAL_SESSION' }
  const gate = createGate({
    authenticate: async () => {
      asked++
      return viewer
    },
    rateLimit: 2,
    limits: HTTP_LIMITS,
    now: () => 0,
  })
  await gate.admit('a session', '192.0.2.1')
  await gate.admit('a second', '192.0.2.1')
  const refused = { extensions: { code: 'RATE_LIMITED' } }
  for (const key of ['a session', 'a second']) await expect(gate.admit(key, '192.0.2.1')).rejects.toMatchObject(refused)
  expect(asked).toBe(2)
  await expect(gate.admit('a third', '192.0.2.1')).rejects.toMatchObject(refused)
})

test('over WebSocket it is an error of the operation, and the socket lives on', async () => {
  const { url, newKey } = await startApi({ rateLimit: 3 })
  const key = await newKey()
  const socket = await openSocket(Number(new URL(url).port))
  socket.send(JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${key}` } }))
  await eventually(() => expect(socket.messages).toHaveLength(1))
  const ask = (id: string) => socket.send(JSON.stringify({ type: 'subscribe', id, payload: JSON.parse(VIEWER) }))
  for (let id = 0; id < 30; id++) ask(String(id))
  const refused = () => socket.messages.filter((text) => text.includes('RATE_LIMITED'))
  await eventually(() => expect(refused().length).toBeGreaterThan(10))
  expect(JSON.parse(refused()[0] as string)).toMatchObject({
    type: 'error',
    payload: [{ extensions: { code: 'RATE_LIMITED', retryAfterMs: expect.any(Number) } }],
  })
  const seen = socket.messages.length
  await eventually(() => {
    ask(`later ${performance.now()}`)
    expect(socket.messages.slice(seen).join()).toContain('"name":"test"')
  })
})

test('without a limit nobody is told of one', async () => {
  const { url, adminKey } = await startApi()
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${adminKey}` }
  const response = await fetch(url, { method: 'POST', headers, body: VIEWER })
  expect([response.status, response.headers.get('ratelimit-limit')]).toEqual([200, null])
})

test('a key beyond its rate, and wrong ones without end, do not reach the database', async () => {
  let asked = 0
  let ms = 0
  const viewers = new Map<string, Viewer>()
  const viewerWith = (key: string) => {
    const viewer = viewers.get(key) ?? viewerOf(null)
    viewers.set(key, viewer)
    return viewer
  }
  const gate = createGate({
    authenticate: async (key) => {
      asked++
      return key.startsWith('right') ? viewerWith(key) : null
    },
    rateLimit: 5,
    limits: { ...HTTP_LIMITS, wrongKeys: 10, wrongKeysPerSecond: 1 },
    now: () => ms,
  })
  const codes = async (count: number, key: (index: number) => string, address: string) => {
    const all = await Promise.all(
      Array.from({ length: count }, (_, index) =>
        gate.admit(key(index), address).then(
          () => 'admitted',
          (error) => error.extensions.code as string,
        ),
      ),
    )
    return Object.fromEntries([...new Set(all)].map((code) => [code, all.filter((one) => one === code).length]))
  }
  // Some are under way before the first is known to be right.
  expect(await codes(5, () => 'right', '192.0.2.1')).toEqual({ admitted: 5 })
  const before = asked
  expect(await codes(1000, () => 'right', '192.0.2.1')).toEqual({ RATE_LIMITED: 1000 })
  expect(asked - before).toBe(0)
  expect(await codes(1000, (index) => `wrong ${index}`, '192.0.2.1')).toEqual({
    UNAUTHENTICATED: 10,
    RATE_LIMITED: 990,
  })
  expect(asked - before).toBe(10)
  ms = 200
  expect(await codes(1, () => 'right', '192.0.2.1')).toEqual({ admitted: 1 })
  expect(await codes(1, () => 'right too', '192.0.2.1')).toEqual({ RATE_LIMITED: 1 })
  expect(await codes(1, () => 'right too', '192.0.2.2')).toEqual({ admitted: 1 })
  ms = 1200
  expect(await codes(2, (index) => `right ${index}`, '192.0.2.1')).toEqual({ admitted: 1, RATE_LIMITED: 1 })
})

test.each`
  address                               | network
  ${'192.0.2.1'}                        | ${'192.0.2.1'}
  ${'::ffff:192.0.2.1'}                 | ${'192.0.2.1'}
  ${'2001:db8:1:2:3:4:5:6'}             | ${'2001:db8:1:2'}
  ${'2001:db8:1:2:ffff:ffff:ffff:ffff'} | ${'2001:db8:1:2'}
  ${'::1'}                              | ${'0:0:0:0'}
  ${'fe80::1%eth0'}                     | ${'fe80:0:0:0'}
  ${null}                               | ${'unknown'}
`('$address counts as $network', ({ address, network }) => {
  expect(networkOf(address)).toBe(network)
})

test('a key whose checksum is wrong is refused without asking, and uses up no tries of its address', async () => {
  let asked = 0
  const gate = createGate({
    authenticate: async (key) => {
      asked++
      return key === right ? viewerOf(null) : null
    },
    rateLimit: null,
    limits: { wrongKeys: 1, wrongKeysPerSecond: 0.01 },
    now: () => 0,
  })
  const right = bearerText('prk', randomBytes(32))
  const misspelt = right.slice(0, -1) + (right.endsWith('0') ? '1' : '0')
  const refused = { extensions: { code: 'UNAUTHENTICATED' } }
  for (let i = 0; i < 10; i++) await expect(gate.admit(misspelt, '192.0.2.1')).rejects.toMatchObject(refused)
  expect(asked).toBe(0)
  expect(await gate.admit(right, '192.0.2.1')).toHaveProperty('viewer')
})

test('a try is given back when its key was right, and when nobody could say; a wrong one is used up', async () => {
  let away = false
  const gate = createGate({
    authenticate: async (key) => {
      if (away) throw new Error('the database is away')
      return key.startsWith('right') ? viewerOf(null) : null
    },
    rateLimit: null,
    limits: { wrongKeys: 1, wrongKeysPerSecond: 0.01 },
    now: () => 0,
  })
  const address = '192.0.2.1'
  for (let i = 0; i < 3; i++) expect(await gate.admit(`right ${i}`, address)).toHaveProperty('viewer')
  away = true
  for (let i = 0; i < 3; i++) await expect(gate.admit('any', address)).rejects.toThrow('the database is away')
  away = false
  await expect(gate.admit('wrong', address)).rejects.toMatchObject({ extensions: { code: 'UNAUTHENTICATED' } })
  await expect(gate.admit('right 4', address)).rejects.toMatchObject({ extensions: { code: 'RATE_LIMITED' } })
  // One that was right before needs none.
  expect(await gate.admit('right 1', address)).toHaveProperty('viewer')
})
