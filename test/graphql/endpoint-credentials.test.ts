import { expect, test } from 'vitest'
import { type EndpointId, parsePublicId } from '../../schema/ids.ts'
import { credentialContext, findCredentials } from '../../src/endpoints/credentials.ts'
import { authority, client } from '../egress/certificates.ts'
import { type Dig, startApi } from './api.ts'

const FIELDS = `id url headers { name value }
  credentials { kind username oauth2 { tokenUrl clientId scopes audience authentication } }
  clientCertificate { subject issuer serialNumber validFrom validTo fingerprint authorities }`
const CREATE = `mutation ($input: EndpointCreateInput!) {
  endpointCreate(input: $input) { endpoint { ${FIELDS} } userErrors { code path message } } }`
const UPDATE = `mutation ($id: ID!, $input: EndpointUpdateInput!) {
  endpointUpdate(id: $id, input: $input) { endpoint { ${FIELDS} } userErrors { code path message } } }`
const URL = 'https://hooks.example.com/in'
const MASKED = '********'

const headers = [
  { name: 'X-Api-Key', value: 'value-number-one' },
  { name: 'x-tenant', value: 'value-number-two' },
]
const bearer = { bearer: { token: 'a-bearer-token' } }
const clientCertificate = { certificatePem: client.cert, privateKeyPem: client.key, caPem: authority }

type Api = Awaited<ReturnType<typeof startApi>>

const created = async ({ ask }: Api, input: object) =>
  (await ask(CREATE, { input: { url: URL, ...input } })).endpointCreate?.endpoint as Dig
const updated = async ({ ask }: Api, id: unknown, input: object) =>
  (await ask(UPDATE, { id, input })).endpointUpdate as Dig

/** What an endpoint's requests would carry, opened as the one who sends does. */
async function openedHeaders({ db, sealer, tenantId }: Api, publicId: unknown): Promise<unknown> {
  const endpointId = parsePublicId('ep', String(publicId)) as EndpointId
  const [row] = await db.sql<{ sealed: Buffer }[]>`
    select sealed from postrider.endpoint_credentials where endpoint_id = ${endpointId} and part = 'HEADERS'`
  return row && JSON.parse(sealer.open(row.sealed, credentialContext({ tenantId, endpointId }, 'HEADERS')))
}

test('an endpoint is made with headers, credentials and a certificate, and shown without their secrets', async () => {
  const api = await startApi()
  const endpoint = await created(api, {
    headers,
    clientCertificate,
    credentials: {
      oauth2ClientCredentials: {
        tokenUrl: 'https://login.example.com/token',
        clientId: 'postrider',
        clientSecret: 'a-client-secret',
        scopes: ['hooks:write'],
      },
    },
  })
  const shown = {
    id: endpoint.id,
    url: URL,
    headers: [
      { name: 'X-Api-Key', value: MASKED },
      { name: 'x-tenant', value: MASKED },
    ],
    credentials: {
      kind: 'OAUTH2_CLIENT_CREDENTIALS',
      username: null,
      oauth2: {
        tokenUrl: 'https://login.example.com/token',
        clientId: 'postrider',
        scopes: ['hooks:write'],
        audience: null,
        authentication: 'HEADER',
      },
    },
    clientCertificate: {
      subject: 'CN=client',
      issuer: 'CN=Postrider test authority',
      serialNumber: '01',
      validFrom: '2020-01-01T00:00:00.000Z',
      validTo: '2120-01-01T00:00:00.000Z',
      fingerprint: expect.stringMatching(/^[0-9A-F:]{95}$/),
      authorities: ['CN=Postrider test authority'],
    },
  }
  expect(endpoint).toEqual(shown)
  const reader = await api.newKey({ scopes: ['READ'] })
  expect(await api.ask(`{ endpoints { nodes { ${FIELDS} } } }`, {}, reader)).toEqual({ endpoints: { nodes: [shown] } })
  expect(await api.ask(`query ($id: ID!) { node(id: $id) { ... on Endpoint { ${FIELDS} } } }`, endpoint)).toEqual({
    node: shown,
  })

  const basic = await created(api, { credentials: { basic: { username: 'me', password: 'hunter2' } } })
  expect(basic.credentials).toEqual({ kind: 'BASIC', username: 'me', oauth2: null })
  expect((await created(api, { credentials: bearer })).credentials).toMatchObject({ kind: 'BEARER', username: null })
  expect(await created(api, {})).toMatchObject({ headers: [], credentials: null, clientCertificate: null })
  expect(await created(api, { headers: [] })).toMatchObject({ headers: [] })
})

test('neither the table nor the audit log holds a secret', async () => {
  const api = await startApi()
  const { id } = await created(api, { headers, credentials: bearer, clientCertificate })
  await updated(api, id, {
    headers: [{ name: 'x-tenant' }],
    credentials: { basic: { username: 'me', password: 'hunter2' } },
    clientCertificate: null,
  })
  const rows = await api.db.sql<{ shown: unknown; sealed: Buffer }[]>`select * from postrider.endpoint_credentials`
  const log = await api.db.sql`select * from postrider.audit_log`
  const text = `${JSON.stringify([rows, log])}${rows.map(({ sealed }) => sealed.toString('latin1'))}`
  const keyLine = client.key.split('\n')[4] as string
  for (const secret of ['value-number-one', 'value-number-two', 'a-bearer-token', 'hunter2', keyLine]) {
    expect(text).not.toContain(secret)
  }
  const entries = await api.db.sql<{ details: Dig }[]>`select details from postrider.audit_log order by id`
  expect(entries.map(({ details }) => details)).toEqual([
    {
      url: URL,
      headers: { from: null, to: ['X-Api-Key', 'x-tenant'] },
      credentials: { from: null, to: { kind: 'BEARER' } },
      clientCertificate: { from: null, to: expect.objectContaining({ subject: 'CN=client' }) },
    },
    {
      headers: { from: ['X-Api-Key', 'x-tenant'], to: ['x-tenant'] },
      credentials: { from: { kind: 'BEARER' }, to: { kind: 'BASIC', username: 'me' } },
      clientCertificate: { from: expect.objectContaining({ subject: 'CN=client' }), to: null },
    },
  ])
})

test('an update replaces the list of headers, and keeps the values that it does not give', async () => {
  const api = await startApi()
  const { id } = await created(api, { headers, credentials: bearer })
  expect((await updated(api, id, { description: 'x' })).endpoint).toMatchObject({ headers: [{}, {}] })
  expect(await openedHeaders(api, id)).toEqual(headers.map(({ name, value }) => [name, value]))

  // As a form would save it that was filled with what is shown.
  const { endpoint } = await updated(api, id, {
    headers: [{ name: 'X-TENANT', value: MASKED }, { name: 'x-api-key' }, { name: 'x-new', value: 'three' }],
  })
  expect(endpoint?.headers).toEqual(['X-TENANT', 'x-api-key', 'x-new'].map((name) => ({ name, value: MASKED })))
  expect(await openedHeaders(api, id)).toEqual([
    ['X-TENANT', 'value-number-two'],
    ['x-api-key', 'value-number-one'],
    ['x-new', 'three'],
  ])
  const refused = await updated(api, id, { headers: [{ name: 'x-unknown' }] })
  expect(refused.userErrors).toMatchObject([{ code: 'INVALID_INPUT', path: ['input', 'headers', '0', 'value'] }])
  expect(await openedHeaders(api, id)).toHaveLength(3)

  expect((await updated(api, id, { headers: null, credentials: null })).endpoint).toMatchObject({
    headers: [],
    credentials: null,
  })
  expect(await api.db.sql`select 1 from postrider.endpoint_credentials`).toHaveLength(0)
})

test('headers that open no more can be replaced and taken away, but not kept', async () => {
  const api = await startApi()
  const { id } = await created(api, { headers, credentials: bearer })
  const damage = () => api.db.sql`
    update postrider.endpoint_credentials set sealed = set_byte(sealed, length(sealed) - 1, get_byte(sealed, length(sealed) - 1) # 1)
    where part = 'HEADERS'`
  await damage()
  for (const value of [undefined, MASKED]) {
    const { userErrors } = await updated(api, id, { headers: [{ name: 'X-Api-Key', value }] })
    expect(userErrors).toMatchObject([{ code: 'INVALID_INPUT', path: ['input', 'headers', '0', 'value'] }])
  }
  expect((await updated(api, id, { headers })).userErrors).toEqual([])
  expect(await openedHeaders(api, id)).toHaveLength(2)
  for (const none of [[], null]) {
    await updated(api, id, { headers })
    await damage()
    expect((await updated(api, id, { headers: none })).endpoint).toMatchObject({ headers: [] })
  }
})

test('what is sealed does not follow a URL to another place unasked', async () => {
  const api = await startApi()
  const { id } = await created(api, { headers, credentials: bearer, clientCertificate })
  const elsewhere = 'https://attacker.example.com/in'
  const value = ['headers', '0', 'value']
  for (const [input, ...paths] of [
    [{ url: elsewhere }, ['headers'], ['credentials']],
    [{ url: `${URL.replace('/in', ':8443/in')}` }, ['headers'], ['credentials']],
    [{ url: 'https://hooks.example.com/other' }, ['headers'], ['credentials']],
    [{ url: `${URL}?to=me`, headers: null }, ['credentials']],
    [{ url: elsewhere, headers: null }, ['credentials']],
    [{ url: elsewhere, headers: [{ name: 'X-Api-Key' }] }, value, ['credentials']],
    [{ url: elsewhere, credentials: bearer, headers: [{ name: 'X-Api-Key' }] }, value],
    [{ url: elsewhere, credentials: bearer, headers: [{ name: 'X-Api-Key', value: MASKED }] }, value],
  ] as [object, ...string[][]][]) {
    const { endpoint, userErrors } = await updated(api, id, input)
    expect(endpoint).toBeNull()
    expect(userErrors).toEqual(
      paths.map((path) => ({
        code: 'INVALID_INPUT',
        path: ['input', ...path],
        message: expect.stringContaining('The URL changes'),
      })),
    )
  }
  // The same place is none other, however it is written. Elsewhere what is given anew goes; a private key is sent to nobody.
  expect((await updated(api, id, { url: 'https://HOOKS.example.com:443/in' })).userErrors).toEqual([])
  const moved = await updated(api, id, { url: elsewhere, headers: null, credentials: { bearer: { token: 'new' } } })
  expect(moved).toMatchObject({ userErrors: [], endpoint: { url: elsewhere, clientCertificate: {}, headers: [] } })

  const plain = await created(api, { url: 'http://hooks.example.com/in', headers })
  expect((await updated(api, plain.id, { url: 'https://hooks.example.com/other' })).userErrors).toHaveLength(1)
  expect((await updated(api, plain.id, { url: URL })).userErrors).toEqual([])
  expect((await updated(api, plain.id, { url: 'http://hooks.example.com/in' })).userErrors).toHaveLength(1)
})

test('everything that is wrong with an input is told at once', async () => {
  const api = await startApi()
  const { id } = await created(api, {})
  const wrong = {
    url: 'ftp://hooks.example.com',
    timeoutSeconds: 31,
    retry: { fixed: { intervalSeconds: 0, attempts: 101 } },
    headers: [
      { name: 'host', value: 'ä' },
      { name: 'x-key', value: '' },
    ],
    credentials: {
      oauth2ClientCredentials: { tokenUrl: 'http://[::1]/', clientId: '', clientSecret: 'x', scopes: ['a b', 'c', ''] },
    },
    clientCertificate: { certificatePem: 'x', privateKeyPem: 'x' },
  }
  const paths = [
    'url',
    'retry.fixed.intervalSeconds',
    'retry.fixed.attempts',
    'timeoutSeconds',
    'headers.0.name',
    'headers.0.value',
    'headers.1.value',
    'credentials.oauth2ClientCredentials.tokenUrl',
    'credentials.oauth2ClientCredentials.clientId',
    'credentials.oauth2ClientCredentials.scopes.0',
    'credentials.oauth2ClientCredentials.scopes.2',
    'clientCertificate.certificatePem',
    'clientCertificate.privateKeyPem',
  ].map((path) => `input.${path}`)
  const told = ({ userErrors }: Dig) =>
    (userErrors as unknown as { path: string[] }[]).map(({ path }) => path.join('.'))
  expect(told(await updated(api, id, wrong))).toEqual(paths)

  const answer = await api.ask(CREATE, { input: { ...wrong, secret: 'whsec_short' } })
  expect(told(answer.endpointCreate as Dig).sort()).toEqual([...paths, 'input.secret'].sort())
  const keeping = { url: 'ftp://hooks.example.com', headers: [{ name: 'x-key' }, { name: 'x-other' }] }
  expect(told((await api.ask(CREATE, { input: keeping })).endpointCreate as Dig)).toEqual([
    'input.url',
    'input.headers.0.value',
    'input.headers.1.value',
  ])
  const values = ['input.headers.0.value', 'input.headers.1.value']
  expect(told(await updated(api, id, { headers: keeping.headers }))).toEqual(values)
  expect(await api.db.sql`select 1 from postrider.endpoints`).toHaveLength(1)
})

test('what cannot stand together, and what is malformed, is refused where it stands', async () => {
  const api = await startApi()
  const own = [
    { name: 'x', value: 'y' },
    { name: 'Authorization', value: 'Token secret-1' },
  ]
  for (const [input, path, code = 'INVALID_INPUT'] of [
    [{ headers: own, credentials: bearer }, ['headers', '1', 'name']],
    [{ url: 'http://hooks.example.com', clientCertificate }, ['clientCertificate']],
    [{ headers: [{ name: 'webhook-id', value: 'secret-1' }] }, ['headers', '0', 'name']],
    [{ headers: [{ name: 'x-key' }] }, ['headers', '0', 'value']],
    [{ credentials: { bearer: { token: 'secret-1 secret-1' } } }, ['credentials', 'bearer', 'token']],
    [
      {
        credentials: {
          oauth2ClientCredentials: { tokenUrl: 'http://[::1]/', clientId: 'a', clientSecret: 'secret-1' },
        },
      },
      ['credentials', 'oauth2ClientCredentials', 'tokenUrl'],
      'INVALID_URL',
    ],
    [
      { clientCertificate: { ...clientCertificate, privateKeyPem: 'secret-1' } },
      ['clientCertificate', 'privateKeyPem'],
    ],
  ] as [object, string[], string?][]) {
    const { endpointCreate } = await api.ask(CREATE, { input: { url: URL, ...input } })
    expect(endpointCreate).toMatchObject({ endpoint: null, userErrors: [{ code, path: ['input', ...path] }] })
    expect(JSON.stringify(endpointCreate)).not.toContain('secret-1')
  }
  expect(await api.db.sql`select 1 from postrider.endpoints`).toHaveLength(0)

  const { id } = await created(api, { headers: own })
  expect((await updated(api, id, { credentials: bearer })).userErrors).toMatchObject([
    { path: ['input', 'credentials'] },
  ])
  const secure = await created(api, { clientCertificate })
  const { userErrors } = await updated(api, secure.id, { url: 'http://hooks.example.com' })
  expect(userErrors).toMatchObject([{ path: ['input', 'url'] }])

  const two = { ...bearer, basic: { username: 'a', password: 'secret-1' } }
  const { data, errors } = await api.send(CREATE, { input: { url: URL, credentials: two } })
  expect(data).toBeUndefined()
  expect(JSON.stringify(errors)).not.toContain('secret-1')
})

test('another tenant’s are as good as absent', async () => {
  const api = await startApi()
  const { id } = await created(api, { headers, credentials: bearer })
  const acme = await api.newTenant('acme')
  const stranger = await api.newKey({ tenantId: acme })
  expect(await api.ask(`query ($id: ID!) { endpoint(id: $id) { ${FIELDS} } }`, { id }, stranger)).toEqual({
    endpoint: null,
  })
  const { endpointUpdate } = await api.ask(UPDATE, { id, input: { headers: null } }, stranger)
  expect(endpointUpdate).toMatchObject({ endpoint: null, userErrors: [{ code: 'NOT_FOUND', path: ['id'] }] })
  expect(await openedHeaders(api, id)).toHaveLength(2)
  // Not by way of an endpoint that was found otherwise, either.
  const endpointId = parsePublicId('ep', String(id)) as EndpointId
  expect(await findCredentials(api.db.orm, acme, [endpointId])).toEqual([])
  expect(await findCredentials(api.db.orm, api.tenantId, [endpointId])).toMatchObject([{ id: endpointId }])
})
