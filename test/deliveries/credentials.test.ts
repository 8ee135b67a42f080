import { expect, test } from 'vitest'
import { type EndpointId, newId } from '../../schema/ids.ts'
import { type CredentialSettings, credentialContext, openCredentials } from '../../src/endpoints/credentials.ts'
import { createEndpoint, deleteEndpoint, updateEndpoint } from '../../src/endpoints/save.ts'
import { testEndpoint } from '../../src/routing/test-delivery.ts'
import { receiverOf } from '../egress/world.ts'
import { type Engine, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

const newEndpoint = async (engine: Engine, url: string, settings: CredentialSettings): Promise<EndpointId> =>
  (await createEndpoint(engine, engine.viewer, engine.tenantId, { url, ...settings })).endpoint.id

/** Publishes one event and returns its attempt, of whatever endpoint. */
async function attemptAfter(engine: Engine, before: number) {
  return eventually(async () => {
    const attempts = await engine.attempts()
    expect(attempts).toHaveLength(before + 1)
    return attempts.at(-1) as (typeof attempts)[number]
  })
}

test('custom headers and credentials arrive, and their values are in no record', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  await newEndpoint(engine, receiver.url, {
    headers: [
      { name: 'X-Api-Key', value: 'a-key-that-nobody-reads' },
      { name: 'cookie', value: 'session=very-secret-session' },
    ],
    credentials: { basic: { username: 'zoë', password: 'hunter2:hunter2' } },
  })
  await engine.publish()
  const [request] = await receiver.waitForRequests(1)

  const basic = Buffer.from('zoë:hunter2:hunter2').toString('base64')
  expect(request?.rawHeaders).toContainEqual(['authorization', `Basic ${basic}`])
  expect(request?.rawHeaders).toContainEqual(['X-Api-Key', 'a-key-that-nobody-reads'])
  expect(request?.rawHeaders).toContainEqual(['cookie', 'session=very-secret-session'])
  const attempt = await attemptAfter(engine, 0)
  const recorded = JSON.parse(attempt.requestHeaders) as [string, string][]
  // The record has what was sent, in its order, but for what is secret.
  expect(recorded.map(([name]) => name)).toEqual(request?.rawHeaders.map(([name]) => name))
  expect(recorded.filter(([, value]) => value.includes('*'))).toEqual([
    ['authorization', 'Basic ********'],
    ['X-Api-Key', '********'],
    ['cookie', '********'],
  ])
  expect(JSON.stringify(attempt)).not.toMatch(/hunter2|nobody-reads|very-secret/)
  expect(JSON.stringify(attempt)).not.toContain(basic)
})

test('an authorization of one’s own goes as a header, and is recorded without its value', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  await newEndpoint(engine, receiver.url, { headers: [{ name: 'Authorization', value: 'Token 12345' }] })
  await engine.publish()
  expect((await receiver.waitForRequests(1))[0]?.headers.authorization).toBe('Token 12345')
  const { requestHeaders } = await attemptAfter(engine, 0)
  expect(JSON.parse(requestHeaders)).toContainEqual(['Authorization', '********'])
})

test('what a receiver repeats of them is masked in its answer, in the advice too', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  await newEndpoint(engine, receiver.url, {
    headers: [{ name: 'x-key', value: 'the-key-of-the-house' }],
    credentials: { bearer: { token: 'abcdefghijkl' } },
  })
  receiver.answers(({ headers }) => ({
    status: 302,
    headers: { location: `https://example.com/?key=${headers['x-key']}`, 'x-echo': String(headers.authorization) },
    body: JSON.stringify(headers),
  }))
  await engine.publish()
  const attempt = await attemptAfter(engine, 0)
  expect(attempt.errorMessage).toContain('points to https://example.com/?key=********************.')
  const [kept] = await engine.db.sql<{ body: Buffer }[]>`select body from postrider.attempt_bodies`
  expect(kept?.body.toString()).toContain('"authorization":"Bearer ************"')
  expect(`${JSON.stringify(attempt)}${kept?.body}`).not.toMatch(/abcdefghijkl|the-key-of-the-house/)
})

test('a change is in force with the next attempt, whichever process it was made in', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  const elsewhere = await startEngine({ address: engine.address, worker: false })
  const id = await newEndpoint(engine, receiver.url, { credentials: { bearer: { token: 'first' } } })
  await engine.publish()
  await receiver.waitForRequests(1)
  await updateEndpoint(elsewhere, elsewhere.viewer, id, {
    headers: [{ name: 'x-key', value: 'one' }],
    credentials: { bearer: { token: 'second' } },
  })
  await engine.publish()
  await receiver.waitForRequests(2)
  await updateEndpoint(elsewhere, elsewhere.viewer, id, { headers: null, credentials: null })
  await engine.publish()
  const requests = await receiver.waitForRequests(3)
  expect(requests.map(({ headers }) => [headers.authorization, headers['x-key']])).toEqual([
    ['Bearer first', undefined],
    ['Bearer second', 'one'],
    [undefined, undefined],
  ])
})

test('a test is sent with them like any other delivery', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  const id = await newEndpoint(engine, receiver.url, { headers: [{ name: 'x-key', value: 'one' }] })
  await testEndpoint(engine, engine.viewer, id, null)
  expect((await receiver.waitForRequests(1))[0]?.headers['x-key']).toBe('one')
})

test('a sealed value opens in its own place only', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  const sent = { headers: [{ name: 'x-key', value: 'of the first' }] }
  const first = await newEndpoint(engine, receiver.url, sent)
  const second = await newEndpoint(engine, receiver.url, { headers: [{ name: 'x-key', value: 'of the second' }] })
  await engine.db.sql`update postrider.endpoint_credentials set sealed = (
    select sealed from postrider.endpoint_credentials where endpoint_id = ${first}) where endpoint_id = ${second}`
  await engine.publish()
  await eventually(async () => {
    const attempts = await engine.attempts()
    const of = (id: EndpointId) => attempts.find(({ endpointId }) => endpointId === id)
    expect([of(first), of(second)]).toMatchObject([{ succeeded: true }, { errorClass: 'INTERNAL' }])
  })
  expect(receiver.requests.map(({ headers }) => headers['x-key'])).toEqual(['of the first'])
})

test('nor does one part open as another', async () => {
  const { sealer, tenantId } = await startEngine({ worker: false })
  const owner = { tenantId, endpointId: newId<'ep'>(new Date()) }
  const sealed = sealer.seal('[]', credentialContext(owner, 'HEADERS'))
  expect(openCredentials(sealer, owner, [{ part: 'HEADERS', sealed }]).headers).toEqual([])
  for (const part of ['AUTHORIZATION', 'CLIENT_CERTIFICATE'] as const) {
    expect(() => openCredentials(sealer, owner, [{ part, sealed }])).toThrow(/belongs somewhere else/)
  }
})

test('with the endpoint they are erased', async () => {
  const engine = await startEngine({ worker: false })
  const id = await newEndpoint(engine, 'http://127.0.0.1:9000/', {
    headers: [{ name: 'x-key', value: 'one' }],
    credentials: { bearer: { token: 'second' } },
  })
  const rows = () => engine.db.sql`select part from postrider.endpoint_credentials order by part`
  expect(await rows()).toEqual([{ part: 'AUTHORIZATION' }, { part: 'HEADERS' }])
  await deleteEndpoint(engine, engine.viewer, id)
  expect(await rows()).toEqual([])
})
