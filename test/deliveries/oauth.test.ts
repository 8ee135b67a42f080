import { describe, expect, test } from 'vitest'
import type { EndpointId } from '../../schema/ids.ts'
import type { AuthorizationInput } from '../../src/endpoints/authorization.ts'
import { createEndpoint, updateEndpoint } from '../../src/endpoints/save.ts'
import { rawReceiverOf, receiverOf } from '../egress/world.ts'
import { type Engine, type EngineOptions, movableClock, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import type { Answer, ReceivedRequest } from '../support/receiver.ts'

const CLIENT_SECRET = 'a-client-secret-for-the-tests'
const tokenNumber = (n: number) => `an-access-token-with-number-${n}`
const tokenAnswer = (n: number, more: object = {}): Answer => ({
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ access_token: tokenNumber(n), token_type: 'Bearer', expires_in: 3600, ...more }),
})

/** An authorization server that counts its tokens, a receiver, and an endpoint that needs the former to reach the latter. */
async function world(options: EngineOptions & { settings?: object } = {}) {
  const [login, hooks] = [await receiverOf(), await receiverOf()]
  login.answers((_, index) => tokenAnswer(index + 1))
  const { settings, ...engineOptions } = options
  const engine = await startEngine(engineOptions)
  const endpoint = await endpointAt(engine, hooks.url, login.url, settings)
  return { login, hooks, engine, endpoint }
}

async function endpointAt(engine: Engine, url: string, tokenUrl: string, settings: object = {}): Promise<EndpointId> {
  const input = { url, credentials: credentials(tokenUrl), retry: { delaysSeconds: [] }, ...settings }
  return (await createEndpoint(engine, engine.viewer, engine.tenantId, input)).endpoint.id
}

const credentials = (tokenUrl: string, clientSecret = CLIENT_SECRET): AuthorizationInput => ({
  oauth2ClientCredentials: { tokenUrl, clientId: 'postrider', clientSecret, scopes: ['hooks:write'] },
})

const allDelivered = (engine: Engine, count: number) =>
  eventually(async () => {
    const attempts = await engine.attempts()
    expect(attempts.filter(({ succeeded }) => succeeded)).toHaveLength(count)
    return attempts
  }, 15_000)

const authorizationsOf = (requests: ReceivedRequest[]) => requests.map(({ headers }) => headers.authorization)

test('fifty deliveries, twenty of them at once from the beginning, ask for one token', async () => {
  const { login, hooks, engine } = await world()
  // Longer than it takes for the first twenty to ask.
  login.answers(() => ({ ...(tokenAnswer(1) as object), delayMs: 200 }))
  await engine.publish(50)
  await allDelivered(engine, 50)

  expect(login.requests).toHaveLength(1)
  expect(login.requests[0]?.body.toString()).toBe('grant_type=client_credentials&scope=hooks%3Awrite')
  const basic = Buffer.from(`postrider:${CLIENT_SECRET}`).toString('base64')
  expect(login.requests[0]?.headers).toMatchObject({ authorization: `Basic ${basic}`, accept: 'application/json' })
  expect(new Set(authorizationsOf(hooks.requests))).toEqual(new Set([`Bearer ${tokenNumber(1)}`]))
  const text = JSON.stringify(await engine.attempts())
  expect(text).toContain('Bearer ********')
  expect(text).not.toContain('an-access-token')
  expect(text).not.toContain(CLIENT_SECRET)
})

test('a token is renewed shortly before it expires', async () => {
  const clock = movableClock()
  const { login, hooks, engine } = await world({ clock })
  await engine.publish()
  await allDelivered(engine, 1)
  clock.forward(3600_000 - 60_000 - 10_000)
  await engine.publish()
  await allDelivered(engine, 2)
  expect(login.requests).toHaveLength(1)
  clock.forward(11_000)
  await engine.publish()
  await allDelivered(engine, 3)
  expect(login.requests).toHaveLength(2)
  expect(authorizationsOf(hooks.requests)).toEqual([1, 1, 2].map((n) => `Bearer ${tokenNumber(n)}`))
})

describe('when the receiver answers 401', () => {
  test('the token is renewed and the same attempt sent once more', async () => {
    const { login, hooks, engine } = await world()
    await engine.publish()
    await allDelivered(engine, 1)
    // Its tokens are revoked: for ten deliveries at once.
    hooks.answers(({ headers }) => (headers.authorization === `Bearer ${tokenNumber(1)}` ? 401 : 200))
    await engine.publish(10)
    const attempts = await allDelivered(engine, 11)

    expect(attempts).toHaveLength(11)
    expect(attempts.every(({ number, status }) => number === 1 && status === 200)).toBe(true)
    expect(login.requests).toHaveLength(2)
    const [first, ...others] = hooks.requests.slice(1)
    const again = others.find(({ headers }) => headers['webhook-id'] === first?.headers['webhook-id'])
    expect(again?.headers['webhook-attempt']).toBe(first?.headers['webhook-attempt'])
    expect(again?.body).toEqual(first?.body)
  })

  test('and again, or there is no new token, that is the end of it', async () => {
    const { login, hooks, engine, endpoint } = await world()
    const [same, none] = [await receiverOf(), await receiverOf()]
    same.answers(tokenAnswer(1))
    none.answers(tokenAnswer(1), { status: 401, body: '{"error":"invalid_client"}' })
    const sameAgain = await endpointAt(engine, `${hooks.url}?same`, same.url)
    const noneLeft = await endpointAt(engine, `${hooks.url}?none`, none.url)
    hooks.answers(401)
    await engine.publish()
    const attempts = await eventually(async () => {
      const attempts = await engine.attempts()
      expect(attempts).toHaveLength(3)
      return attempts
    })

    const of = (id: EndpointId) => attempts.find(({ endpointId }) => endpointId === id)
    const sentTo = (path: string) => authorizationsOf(hooks.requests.filter((request) => request.path === path))
    expect(of(endpoint)).toMatchObject({ status: 401, errorClass: 'HTTP_STATUS' })
    expect(login.requests).toHaveLength(2)
    expect(sentTo('/hook')).toEqual([1, 2].map((n) => `Bearer ${tokenNumber(n)}`))
    // The same token once more would be answered as before.
    expect(of(sameAgain)).toMatchObject({ status: 401, errorClass: 'HTTP_STATUS' })
    expect(sentTo('/hook?same')).toHaveLength(1)
    expect(of(noneLeft)).toMatchObject({ status: null, errorClass: 'OAUTH' })
    expect(of(noneLeft)?.errorMessage).toMatch(/answered 401 to its access token.*\(invalid_client\)/)
    expect(sentTo('/hook?none')).toHaveLength(1)
  })
})

describe('no token, no request: the attempt fails as OAUTH', () => {
  test('whatever the authorization server does instead', async () => {
    const HUGE = JSON.stringify({ access_token: tokenNumber(1), more: 'x'.repeat(20_000) })
    const cases: [Answer, RegExp][] = [
      [{ status: 401, body: '{"error":"invalid_client"}' }, /401.*invalid_client/],
      [500, /answered 500/],
      [{ body: `<html>${CLIENT_SECRET}` }, /not the JSON object/],
      [{ body: HUGE }, /larger than 16 KiB/],
      [{ status: 307, headers: { location: '/elsewhere' } }, /redirects are never followed/],
      [{ reset: true }, /closed the connection/],
      [{ hang: true }, /did not answer in time/],
    ]
    const [hooks, engine] = [await receiverOf(), await startEngine()]
    const logins = await Promise.all(cases.map(() => receiverOf()))
    const endpoints: EndpointId[] = []
    for (const [index, login] of logins.entries()) {
      login.answers((cases[index] as [Answer, RegExp])[0])
      endpoints.push(await endpointAt(engine, hooks.url, login.url, { timeoutSeconds: 1 }))
    }
    await engine.publish()
    const attempts = await eventually(async () => {
      const attempts = await engine.attempts()
      expect(attempts).toHaveLength(cases.length)
      return attempts
    })
    for (const [index, [, message]] of cases.entries()) {
      const attempt = attempts.find(({ endpointId }) => endpointId === endpoints[index])
      expect(attempt).toMatchObject({ succeeded: false, errorClass: 'OAUTH', status: null, number: 1 })
      expect(attempt?.errorMessage).toMatch(message)
      expect(attempt?.durationMs).toBeLessThan(1500)
      expect(logins[index]?.requests.map(({ path }) => path)).toEqual(['/hook'])
    }
    expect(JSON.stringify(attempts)).not.toContain(CLIENT_SECRET)
    expect(hooks.requests).toHaveLength(0)
  })

  test('when nothing listens there', async () => {
    const closed = await rawReceiverOf(() => {})
    await closed.close()
    const [hooks, engine] = [await receiverOf(), await startEngine()]
    await endpointAt(engine, hooks.url, closed.url)
    await engine.publish()
    await eventually(async () => expect(await engine.attempts()).toMatchObject([{ errorClass: 'OAUTH' }]))
  })

  test('when its name points inside it is BLOCKED_ADDRESS, and nobody is dialled', async () => {
    const hooks = await receiverOf()
    const resolve = async (host: string) => (host === 'login.example.com' ? ['10.0.0.1'] : ['127.0.0.1'])
    const engine = await startEngine({ egress: { resolve } })
    await endpointAt(engine, hooks.url, 'http://login.example.com/token')
    await engine.publish()
    const [attempt] = await eventually(async () => {
      const attempts = await engine.attempts()
      expect(attempts).toMatchObject([{ errorClass: 'BLOCKED_ADDRESS' }])
      return attempts
    })
    expect(attempt?.errorMessage).toContain('login.example.com')
    expect(attempt?.errorMessage).not.toContain('10.0.0.1')
  })
})

test('a token endpoint that hangs holds up nobody but its own endpoint', async () => {
  const { login, engine, endpoint } = await world({ concurrency: 8, stopWithinMs: 100, settings: { maxInFlight: 3 } })
  login.answers({ hang: true })
  await engine.publish(20)
  await login.waitForRequests(1)
  const other = await receiverOf()
  await engine.addEndpoint(other.url)
  await engine.publish(40)
  await other.waitForRequests(40, 3000)
  // As many as it may have in flight wait for the one request.
  expect(login.requests).toHaveLength(1)
  expect((await engine.deliveries(endpoint)).filter(({ ticketId }) => ticketId !== null)).toHaveLength(3)
})

test('other credentials are used from the next attempt on, also when another process changes them', async () => {
  const { login, hooks, engine, endpoint } = await world()
  await engine.publish()
  await allDelivered(engine, 1)
  const elsewhere = await startEngine({ address: engine.address, worker: false })
  await updateEndpoint(elsewhere, elsewhere.viewer, endpoint, { credentials: credentials(login.url, 'another-secret') })
  await engine.publish()
  await allDelivered(engine, 2)
  const [, second] = login.requests
  expect(second?.headers.authorization).toBe(`Basic ${Buffer.from('postrider:another-secret').toString('base64')}`)
  expect(authorizationsOf(hooks.requests)).toEqual([1, 2].map((n) => `Bearer ${tokenNumber(n)}`))
})

test('each endpoint has a token of its own', async () => {
  const { login, hooks, engine } = await world()
  await endpointAt(engine, hooks.url, login.url)
  await engine.publish(3)
  await allDelivered(engine, 6)
  expect(login.requests).toHaveLength(2)
})
