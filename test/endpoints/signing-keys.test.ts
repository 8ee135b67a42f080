import { createPublicKey, type JsonWebKey, randomBytes, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { EndpointId, TenantId } from '../../schema/ids.ts'
import { signingKeyContext } from '../../src/endpoints/signing-keys.ts'
import { silentLog } from '../../src/log.ts'
import { keysInUse } from '../../src/sealing/keys-in-use.ts'
import { parseMasterKeys } from '../../src/sealing/master-keys.ts'
import { rotateMasterKeys } from '../../src/sealing/rotate.ts'
import { createSealer } from '../../src/sealing/sealer.ts'
import { startWorker } from '../../src/worker.ts'
import { startApi } from '../graphql/api.ts'
import { createSearch, everyTable } from '../support/canary.ts'
import { movableClock } from '../support/engine.ts'
import { type ReceivedRequest, startReceiver } from '../support/receiver.ts'

const KEYS = 'signingKeys { id publicKey state createdAt signsFrom signsUntil }'
const CREATE = `mutation ($input: EndpointCreateInput!) { endpointCreate(input: $input) {
  endpoint { id signing { standard ed25519 also { scheme header } } ${KEYS} } userErrors { code path message } } }`
const UPDATE = `mutation ($id: ID!, $input: EndpointUpdateInput!) { endpointUpdate(id: $id, input: $input) {
  endpoint { id signing { standard ed25519 also { scheme header } } ${KEYS} } userErrors { code path message } } }`
const ROTATE = `mutation ($id: ID!, $overlapSeconds: Int) { endpointRotateSecret(id: $id, overlapSeconds: $overlapSeconds) {
  endpoint { id ${KEYS} } userErrors { code message } } }`
const DELETE = `mutation ($id: ID!) { endpointDelete(id: $id) { userErrors { message } } }`

type Key = { id: string; publicKey: string; state: string; signsFrom: string | null; signsUntil: string | null }
type Endpoint = {
  id: string
  signing: { standard: boolean; ed25519: boolean; also: { scheme: string; header: string }[] }
  signingKeys: Key[]
}
type Answer = { endpoint: Endpoint; userErrors: { code: string; path: string[]; message: string }[] }
type Jwk = JsonWebKey & { kid: string; endpoint: string }

async function world(options: Parameters<typeof startApi>[0] = {}) {
  const clock = movableClock()
  const api = await startApi({ clock, ...options })
  const url = 'https://example.com/hook'
  const create = async (input: object, key = api.adminKey) =>
    (await api.ask<{ endpointCreate: Answer }>(CREATE, { input: { url, ...input } }, key)).endpointCreate
  const update = async (id: string, input: object) =>
    (await api.ask<{ endpointUpdate: Answer }>(UPDATE, { id, input })).endpointUpdate
  const rotate = async (id: string, overlapSeconds?: number) =>
    (await api.ask<{ endpointRotateSecret: Answer }>(ROTATE, { id, overlapSeconds })).endpointRotateSecret.endpoint
  const published = async (tenant = 'default', init: RequestInit = {}) =>
    fetch(new URL(`/.well-known/webhook-keys/${tenant}`, api.url), init)
  const keySet = async (tenant = 'default') => ((await (await published(tenant)).json()) as { keys: Jwk[] }).keys
  const count = async () => (await api.db.sql`select from postrider.signing_keys`).count
  return { ...api, clock, create, update, rotate, published, keySet, count }
}

const ED25519 = { signing: { ed25519: true } }

/** As a receiver does that knows nothing but the key set: which of these keys have signed it. */
function signersOf({ headers, body }: ReceivedRequest, keys: Jwk[]): string[] {
  const content = Buffer.concat([Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.`), body])
  const signatures = (headers['webhook-signature'] ?? '').split(' ').filter((each) => each.startsWith('v1a,'))
  return keys.flatMap((jwk) => {
    const key = createPublicKey({ key: jwk, format: 'jwk' })
    return signatures.some((each) => verify(null, content, key, Buffer.from(each.slice(4), 'base64'))) ? jwk.kid : []
  })
}

test('a receiver that fetched the key set before a rotation verifies across it without fetching again', async () => {
  const { create, rotate, keySet, publish, clock } = await world({ worker: true })
  const receiver = await startReceiver()
  onTestFinished(() => receiver.close())
  const { endpoint } = await create({ url: receiver.url, ...ED25519 })
  const next = async () => {
    const count = receiver.requests.length + 1
    await publish()
    return (await receiver.waitForRequests(count))[count - 1] as ReceivedRequest
  }
  const fetched = await keySet()
  const [upcoming, current] = endpoint.signingKeys as [Key, Key]
  expect([upcoming.state, current.state]).toEqual(['NEXT', 'CURRENT'])
  expect(fetched.map(({ kid }) => kid)).toEqual([upcoming.id, current.id])
  const before = await next()
  expect(signersOf(before, fetched)).toEqual([current.id])
  expect(signersOf({ ...before, body: Buffer.from('{}') }, fetched)).toEqual([])

  await rotate(endpoint.id, 3600)
  const during = await next()
  expect(signersOf(during, fetched)).toEqual([upcoming.id, current.id])
  // Of each kind, the newest first.
  expect(during.headers['webhook-signature']?.split(' ').map((each) => each.split(',')[0])).toEqual([
    'v1',
    'v1',
    'v1a',
    'v1a',
  ])
  clock.forward(3_600_000)
  const after = await next()
  expect(signersOf(after, fetched)).toEqual([upcoming.id])

  const fetchedAgain = await keySet()
  expect(fetchedAgain.map(({ kid }) => kid)).toContain(upcoming.id)
  expect(fetchedAgain.map(({ kid }) => kid)).not.toContain(current.id)
  // After a leak: what signs is the one that was published, from the next request on.
  await rotate(endpoint.id, 0)
  expect(signersOf(await next(), fetchedAgain)).toHaveLength(1)
})

describe('the key set', () => {
  test('holds the public keys of a tenant as JWKS, for everybody, to be kept for five minutes', async () => {
    const { create, published, newTenant } = await world()
    await newTenant('acme:1')
    const { endpoint } = await create({ tenant: 'acme:1', ...ED25519 })
    const { endpoint: other } = await create({ tenant: 'acme:1', ...ED25519 })
    await create(ED25519)
    for (const tenant of ['acme:1', 'acme%3A1', 'acme:1/', 'acme:1?a=b']) {
      const answer = await published(tenant)
      expect([answer.status, answer.headers.get('content-type'), answer.headers.get('cache-control')]).toEqual([
        200,
        'application/jwk-set+json',
        'public, max-age=300',
      ])
      const jwk = ({ id, publicKey }: Key, of: Endpoint) => ({
        ...{ kty: 'OKP', crv: 'Ed25519', kid: id, use: 'sig', alg: 'EdDSA', endpoint: of.id },
        x: Buffer.from(publicKey.slice('whpk_'.length), 'base64').toString('base64url'),
      })
      const both = [endpoint, other].flatMap((each) => each.signingKeys.map((key) => jwk(key, each)))
      expect(await answer.json()).toEqual({ keys: both })
    }
    const head = await published('acme:1', { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([200, ''])
    expect((await published('acme:1', { method: 'POST' })).status).toBe(405)
  })

  test('of a tenant without keys is answered as that of none', async () => {
    const { create, published, newTenant } = await world()
    await newTenant('acme')
    await create({ tenant: 'acme' })
    const answers = await Promise.all(
      ['acme', 'nobody', '', '%00', '%', 'a'.repeat(65), 'acme/default', '%27%20or%201=1'].map(async (tenant) => {
        const answer = await published(tenant)
        return [answer.status, ((await answer.json()) as { errors: [{ extensions: object }] }).errors[0].extensions]
      }),
    )
    for (const answer of answers) expect(answer).toEqual([404, { code: 'NOT_FOUND' }])
  })
})

describe('key pairs', () => {
  test('are made when they are asked for, kept while they are, and erased with ed25519: false', async () => {
    const { create, update, count, keySet, published } = await world()
    const { endpoint } = await create({})
    expect(endpoint).toMatchObject({ signing: { standard: true, ed25519: false, also: [] }, signingKeys: [] })
    const { id } = endpoint

    const on = (await update(id, ED25519)).endpoint
    expect(on.signingKeys).toMatchObject([
      { state: 'NEXT', signsFrom: null, signsUntil: null, publicKey: expect.stringMatching(/^whpk_[\w+/]{43}=$/) },
      { state: 'CURRENT', signsFrom: expect.any(String), signsUntil: null },
    ])
    for (const same of [ED25519, { description: 'mine' }, { signing: { standard: null } }, { signing: {} }]) {
      expect((await update(id, same)).endpoint.signingKeys).toEqual(on.signingKeys)
    }
    expect((await keySet()).map(({ kid }) => kid)).toEqual(on.signingKeys.map((key) => key.id))

    expect((await update(id, { signing: null })).endpoint.signingKeys).toEqual([])
    expect(await count()).toBe(0)
    expect((await published()).status).toBe(404)
    const again = (await update(id, ED25519)).endpoint.signingKeys
    expect(again.map((key) => key.id)).not.toEqual(on.signingKeys.map((key) => key.id))
  })

  test('change with the secret: the next one signs, the old one ends, and there is a new next one', async () => {
    const { create, rotate, clock, db } = await world()
    const { endpoint } = await create(ED25519)
    const [next, current] = endpoint.signingKeys as [Key, Key]
    const startedAt = clock.now().getTime()
    const rotated = (await rotate(endpoint.id)).signingKeys
    expect(rotated.map(({ id, state }) => [id, state])).toEqual([
      [expect.any(String), 'NEXT'],
      [next.id, 'CURRENT'],
      [current.id, 'ENDING'],
    ])
    const end = Date.parse(String(rotated[2]?.signsUntil))
    expect(end).toBeGreaterThanOrEqual(startedAt + 86_400_000)
    expect(end).toBeLessThanOrEqual(clock.now().getTime() + 86_400_000)
    // Never later than was said before, and sooner where that is said now.
    expect((await rotate(endpoint.id, 604_800)).signingKeys[3]).toEqual(rotated[2])
    const hour = (await rotate(endpoint.id, 3600)).signingKeys.slice(2)
    expect(hour).toHaveLength(3)
    for (const { signsUntil } of hour) {
      expect(Date.parse(String(signsUntil))).toBeLessThanOrEqual(clock.now().getTime() + 3_600_000)
    }
    expect((await rotate(endpoint.id, 0)).signingKeys.map(({ state }) => state)).toEqual(['NEXT', 'CURRENT'])
    const [entry] = await db.sql`select details from postrider.audit_log order by id desc limit 1`
    expect(entry?.details).toMatchObject({ signingKey: expect.stringMatching(/^sik_/), overlapSeconds: 0 })
  })

  test('of an endpoint without them are not made by a rotation', async () => {
    const { create, rotate, count } = await world()
    const { endpoint } = await create({})
    expect((await rotate(endpoint.id)).signingKeys).toEqual([])
    expect(await count()).toBe(0)
  })

  test('many rotations at once come one after another, and leave one that signs and one that is next', async () => {
    const { create, rotate, keySet } = await world()
    const { endpoint } = await create(ED25519)
    await Promise.all(Array.from({ length: 4 }, () => rotate(endpoint.id)))
    const { signingKeys } = (await rotate(endpoint.id, 0)) as Endpoint
    expect(signingKeys.map(({ state }) => state)).toEqual(['NEXT', 'CURRENT'])
    expect((await keySet()).map(({ kid }) => kid)).toEqual(signingKeys.map(({ id }) => id))
  })

  test('the newest is the newest when the clock of another process was ahead', async () => {
    const { create, rotate, clock } = await world()
    const { endpoint } = await create(ED25519)
    clock.forward(2000)
    const [next] = (await rotate(endpoint.id)).signingKeys as [Key]
    clock.forward(-2000)
    expect((await rotate(endpoint.id)).signingKeys[1]?.id).toBe(next.id)
  })

  test('a next one that cannot be opened never comes to sign', async () => {
    const { create, rotate, db } = await world()
    const { endpoint } = await create(ED25519)
    await db.sql`update postrider.signing_keys set sealed = set_byte(sealed, 40, 255 - get_byte(sealed, 40)) where signs_from is null`
    const [, current, ending] = (await rotate(endpoint.id)).signingKeys as [Key, Key, Key]
    expect(current.id).not.toBe(endpoint.signingKeys[0]?.id)
    expect(ending.id).toBe(endpoint.signingKeys[1]?.id)
  })

  test('that have ended are seen no more, and erased by and by', async () => {
    const api = await world()
    const { create, rotate, clock, queue, count, keySet } = api
    const scheduled = new Map<string, () => Promise<void>>()
    const every = async (name: string, _: string, work: () => Promise<void>) => void scheduled.set(name, work)
    const worker = await startWorker({
      ...api,
      queue: { ...queue, scheduledWork: { every } },
      log: silentLog,
      concurrency: 1,
    })
    onTestFinished(() => worker.stop(new Date()).then(() => {}))
    const erase = () => scheduled.get('drop-expired')?.()
    const { endpoint } = await create(ED25519)
    await rotate(endpoint.id, 60)
    await erase()
    expect(await count()).toBe(3)
    clock.forward(60_000)
    expect(await keySet()).toHaveLength(2)
    expect(await count()).toBe(3)
    await erase()
    expect(await count()).toBe(2)
  })

  test('go with their endpoint, and with their tenant', async () => {
    const { create, ask, count, published, newTenant } = await world()
    const tenant = await newTenant('acme')
    const { endpoint } = await create({ tenant: 'acme', ...ED25519 })
    await create({ tenant: 'acme', ...ED25519 })
    await ask(DELETE, { id: endpoint.id })
    expect(await count()).toBe(2)
    const id = (await ask<{ tenant: { id: string } }>('{ tenant(key: "acme") { id } }')).tenant.id
    await ask('mutation ($id: ID!) { tenantDelete(id: $id) { userErrors { message } } }', { id })
    expect(tenant).toBeTruthy()
    expect((await published('acme')).status).toBe(404)
    expect(await count()).toBe(0)
  })

  test('are seen without their private halves by whoever sees their endpoint, and by no other tenant', async () => {
    const { create, ask, newKey, newTenant } = await world()
    const { endpoint } = await create(ED25519)
    const NODE = `query ($id: ID!) { node(id: $id) { __typename ... on SigningKey {
      id publicKey state createdAt signsFrom signsUntil endpoint { id } } } }`
    const reader = await newKey({ scopes: ['READ'] })
    const foreign = await newKey({ tenantId: await newTenant('other'), scopes: ['ADMIN'] })
    for (const key of endpoint.signingKeys) {
      expect(await ask(NODE, { id: key.id }, reader)).toEqual({
        node: { __typename: 'SigningKey', ...key, endpoint: { id: endpoint.id } },
      })
      expect(await ask(NODE, { id: key.id }, foreign)).toEqual({ node: null })
    }
  })

  test('their private halves are sealed, stand in no table, and are sealed anew with another master key', async () => {
    const { create, rotate, db, sealer } = await world()
    const { endpoint } = await create(ED25519)
    await rotate(endpoint.id)
    type Row = { tenant: TenantId; endpoint: EndpointId; sealed: Buffer; public: Buffer }
    const rows = () => db.sql<Row[]>`
      select tenant_id as tenant, endpoint_id as endpoint, sealed, public_key as public from postrider.signing_keys order by id`
    const openWith = async (by: typeof sealer) =>
      (await rows()).map((row) => by.open(row.sealed, signingKeyContext(row.tenant, row.endpoint)))
    const privateKeys = await openWith(sealer)
    const bytes = privateKeys.map((key) => Buffer.from(key.slice('whsk_'.length), 'base64'))
    expect(bytes.map((each) => each.subarray(32))).toEqual((await rows()).map((row) => Buffer.from(row.public)))
    const seeds = bytes.map((each, n) => ({ name: `seed ${n}`, value: each.subarray(0, 32).toString('base64') }))
    expect(seeds).toHaveLength(3)
    expect(createSearch(seeds).inTraces(await everyTable(db))).toEqual([])

    const [newest] = parseMasterKeys(randomBytes(32).toString('base64'))
    const [old] = parseMasterKeys(Buffer.alloc(32, 7).toString('base64'))
    if (!newest || !old) throw new Error('no keys')
    await rotateMasterKeys({ db, sealer: createSealer([newest, old]), note: async () => {}, progress() {} })
    expect(new Set((await keysInUse(db.sql)).map(({ keyId }) => keyId))).toEqual(new Set([newest.id]))
    expect(await openWith(createSealer([newest]))).toEqual(privateKeys)
  })
})

describe('how requests are signed', () => {
  const BODY_HEX = { scheme: 'BODY_HEX' }
  const header = (name: string) => ({ signing: { also: [{ ...BODY_HEX, header: name }] } })

  const REFUSED: [string, object, string, string][] = [
    ['nothing at all', { signing: { standard: false } }, 'signing.standard', 'forged'],
    [
      'two in one header',
      { signing: { also: [BODY_HEX, { scheme: 'TIMESTAMPED_HEX', header: 'x-webhook-signature' }] } },
      'signing.also.1.header',
      'Two signatures',
    ],
    [
      'five',
      { signing: { also: Array.from({ length: 5 }, (_, n) => ({ ...BODY_HEX, header: `X-${n}` })) } },
      'signing.also',
      'At most 4',
    ],
    ['a reserved header', header('Webhook-Signature'), 'signing.also.0.header', 'reserved'],
    ['one of HTTP’s own', header('content-length'), 'signing.also.0.header', 'reserved'],
    ['one of CloudEvents', header('ce-id'), 'signing.also.0.header', 'reserved'],
    ['the header of credentials', header('Authorization'), 'signing.also.0.header', 'credentials'],
    ['no header', header('x y'), 'signing.also.0.header', 'letters'],
    [
      'a custom header',
      { headers: [{ name: 'x-signed', value: '1' }], ...header('X-Signed') },
      'signing.also',
      'custom header',
    ],
  ]
  test('what forges, or stands in the way of other headers, is refused', async () => {
    const { create, update } = await world()
    const { endpoint } = await create({})
    for (const [what, input, path, message] of REFUSED) {
      const at = ['input', ...path.split('.')]
      const refusal = [{ code: 'INVALID_INPUT', path: at, message: expect.stringContaining(message) }]
      expect(await create(input), what).toEqual({ endpoint: null, userErrors: refusal })
      expect(await update(endpoint.id, input), what).toEqual({ endpoint: null, userErrors: refusal })
    }
  })

  test('an update changes what it mentions, and is judged by what comes of it', async () => {
    const { create, update } = await world()
    const { endpoint } = await create({ signing: { standard: false, ed25519: true, also: [BODY_HEX] } })
    const also = [{ scheme: 'BODY_HEX', header: 'X-Webhook-Signature' }]
    const { id } = endpoint
    expect(endpoint.signing).toEqual({ standard: false, ed25519: true, also })
    expect((await update(id, { signing: { ed25519: false } })).endpoint.signing).toEqual({
      standard: false,
      ed25519: false,
      also,
    })
    expect((await update(id, { signing: { also: null } })).userErrors).toMatchObject([
      { path: ['input', 'signing', 'standard'] },
    ])
    expect((await update(id, { signing: { also: [], ed25519: true } })).endpoint.signing).toMatchObject({
      ed25519: true,
      also: [],
    })
    expect((await update(id, { signing: { standard: null } })).endpoint.signing.standard).toBe(true)
    // The other way round: a custom header that comes where a signature stands.
    await update(id, header('X-Signed'))
    const taken = await update(id, { headers: [{ name: 'X-SIGNED', value: '1' }] })
    expect(taken.userErrors).toMatchObject([{ code: 'INVALID_INPUT', message: expect.stringContaining('X-Signed') }])
  })
})

test('docs/signatures.md: its mutation does what it says, and each way to sign that it recommends is taken', async () => {
  const document = readFileSync(new URL('../../docs/signatures.md', import.meta.url), 'utf8')
  const { create, ask } = await world()
  const { endpoint } = await create({})
  const mutation = /```graphql\n(.*?)```/s.exec(document)?.[1]?.replace('ep_…', endpoint.id)
  const { endpointUpdate } = await ask<{ endpointUpdate: Answer }>(String(mutation))
  expect(endpointUpdate).toMatchObject({
    endpoint: { format: 'CLOUDEVENTS_STRUCTURED', signing: { standard: true, ed25519: true } },
    userErrors: [],
  })
  const ways = [...document.matchAll(/`(\{ (?:also|ed25519).*?\})`/g)].map(([, way]) => way)
  expect(ways).toHaveLength(3)
  for (const way of ways) {
    const UPDATE_SO = `mutation ($id: ID!) { endpointUpdate(id: $id, input: { signing: ${way} }) { userErrors { message } } }`
    expect(await ask(UPDATE_SO, { id: endpoint.id })).toEqual({ endpointUpdate: { userErrors: [] } })
  }
})
