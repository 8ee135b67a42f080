import { request } from 'node:http'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import type { Log } from '../../src/log.ts'
import { startApi } from '../graphql/api.ts'

const VIEWER = JSON.stringify({ query: '{ viewer { name } }' })

test('only JSON is taken, in UTF-8, one operation at a time, and of a bounded size', async () => {
  const { url, adminKey } = await startApi()
  const post = async (body: string | Buffer, headers: Record<string, string> = {}) => {
    const response = await fetch(url, {
      method: 'POST',
      // As the GraphQL-over-HTTP specification has it; with plain application/json these would be 200.
      headers: {
        'content-type': 'application/json',
        accept: 'application/graphql-response+json',
        authorization: `Bearer ${adminKey}`,
        ...headers,
      },
      body: body as never,
    })
    const answer = (await response.json()) as { errors?: { extensions: { code: string } }[] }
    return [response.status, answer.errors?.[0]?.extensions.code]
  }
  expect(await post(VIEWER)).toEqual([200, undefined])
  expect(await post(VIEWER, { 'content-type': 'application/json; charset=utf-8' })).toEqual([200, undefined])
  expect(await post('query=%7Bviewer%7Bname%7D%7D', { 'content-type': 'application/x-www-form-urlencoded' })).toEqual([
    415,
    'BAD_REQUEST',
  ])
  expect(await post(VIEWER, { 'content-type': 'text/plain' })).toEqual([415, 'BAD_REQUEST'])
  expect(await post('{ viewer { name } }', { 'content-type': 'application/graphql' })).toEqual([415, 'BAD_REQUEST'])
  expect(await post('--x\r\n', { 'content-type': 'multipart/form-data; boundary=x' })).toEqual([415, 'BAD_REQUEST'])
  expect(await post(VIEWER, { 'content-encoding': 'gzip' })).toEqual([415, 'BAD_REQUEST'])
  expect(await post(`[${VIEWER}]`)).toEqual([400, 'BAD_REQUEST'])
  expect(await post('{')).toEqual([400, 'BAD_REQUEST'])
  expect(await post('null')).toEqual([400, 'BAD_REQUEST'])
  expect(await post('{}')).toEqual([400, 'BAD_REQUEST'])
  expect(await post(Buffer.from(`{"query":"{ viewer { name } } # \xff"}`, 'latin1'))).toEqual([400, 'BAD_REQUEST'])
  expect(await post(`{"query":"{ viewer { name } }","variables":{"x":"${'x'.repeat(5 * 1024 * 1024)}"}}`)).toEqual([
    413,
    'BAD_REQUEST',
  ])
  expect(await post(`{"query":"{ viewer { name } }","variables":{"x":"${'x'.repeat(4 * 1024 * 1024)}"}}`)).toEqual([
    200,
    undefined,
  ])
})

test('a body that never says how long it is is cut off at the limit', async () => {
  const { url, adminKey } = await startApi()
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const sending = request(
      url,
      { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${adminKey}` } },
      (response) => {
        resolve(response.statusCode)
        sending.destroy()
      },
    )
    sending.on('error', reject)
    const send = () => {
      while (sending.write(Buffer.alloc(65_536, 32)));
      sending.once('drain', send)
    }
    send()
  })
  expect(status).toBe(413)
})

test('queries may be asked by GET, mutations may not', async () => {
  const { url, adminKey } = await startApi()
  const get = async (query: string, variables = '') => {
    const search = new URLSearchParams({ query, variables })
    const response = await fetch(`${url}?${search}`, {
      headers: { authorization: `Bearer ${adminKey}`, accept: 'application/json' },
    })
    return [response.status, await response.json()]
  }
  expect(await get('query ($id: ID!) { node(id: $id) { id } }', '{"id":"x"}')).toEqual([200, { data: { node: null } }])
  expect(await get('{ viewer { id } }', '{')).toMatchObject([
    400,
    { errors: [{ extensions: { code: 'BAD_REQUEST' } }] },
  ])
  expect((await get('mutation { endpointPause(id: "x") { userErrors { code } } }'))[0]).toBe(405)
})

test('documents out of all proportion are refused, introspection as GraphiQL does it is not', async () => {
  const { send, ask } = await startApi()
  const { getIntrospectionQuery } = await import('graphql')
  const { __schema } = await ask(
    getIntrospectionQuery({ descriptions: true, inputValueDeprecation: true, specifiedByUrl: true }),
  )
  expect(__schema).toBeDefined()

  const nested =
    'events { nodes { deliveries { nodes { attempts { nodes { delivery { attempts { nodes { id } } } } } } } } }'
  for (const [query, message] of [
    [`{ ${Array.from({ length: 51 }, (_, i) => `a${i}: viewer { id }`).join(' ')} }`, 'aliases'],
    [`{ ${nested} }`, 'nests 4 lists'],
    [
      `fragment F on Attempt { delivery { attempts { nodes { id } } } } { ${nested.replace('delivery { attempts { nodes { id } } }', '...F')} }`,
      'nests 4 lists',
    ],
    [`{ viewer { ${'id '.repeat(20_000)} } }`, 'tokens'],
    [`{ a ${'{ a '.repeat(300)} ${'}'.repeat(300)} }`, 'brackets'],
    [`{ events(first: 100) { nodes { a: payloadJson b: payloadJson c: payloadJson } } }`, 'smaller pages'],
    [
      `{ deliveries(first: 100) { nodes { ${Array.from({ length: 40 }, (_, n) => `a${n}: plannedAttempts`).join(' ')} } } }`,
      'smaller pages',
    ],
    [
      '{ attempts(first: 100) { nodes { a: response { headers { name value } } b: response { headers { name value } } c: request { headers { name value } } d: request { headers { name value } } } } }',
      'smaller pages',
    ],
    [`{ delivery(id: "dlv_x") { ...F0 } } ${fragmentsThatMultiply(8)}`, 'smaller pages'],
    [`{ viewer { __typename } } # ${'x'.repeat(100_000)}`, 'Send large values as variables'],
  ] as const) {
    const { errors } = await send(query)
    expect(errors?.[0]?.message).toContain(message)
  }
})

test('where introspection is off, the schema cannot be guessed either', async () => {
  const { send } = await startApi({ introspection: false })
  expect((await send('{ __schema { types { name } } }')).errors?.[0]?.message).toContain('introspection')
  for (const [query, variables] of [
    ['{ viewr { id } }', {}],
    [
      'query ($filter: DeliveryFilter) { deliveries(filter: $filter) { nodes { id } } }',
      { filter: { state: 'PENDING' } },
    ],
    [
      'query ($filter: DeliveryFilter) { deliveries(filter: $filter) { nodes { id } } }',
      { filter: { states: ['PENDIN'] } },
    ],
  ] as const) {
    const { errors } = await send(query, variables)
    expect(errors?.[0]?.message).not.toMatch(/did you mean/i)
  }
})

test('our own faults are masked, and found in the log by the id the caller got', async () => {
  const lines: { facts: Record<string, unknown>; sentence: string }[] = []
  const note = (facts: object, sentence: string) => lines.push({ facts: facts as Record<string, unknown>, sentence })
  const log: Log = { debug() {}, info() {}, warn: note, error: note }
  const { send, db } = await startApi({ log })
  await db.sql`alter table postrider.endpoints rename to hidden`
  const { errors } = await send('{ endpoints { nodes { id } } }')
  const requestId = errors?.[0]?.extensions.requestId
  expect(errors).toMatchObject([
    { message: expect.stringContaining(String(requestId)), path: ['endpoints'], extensions: { code: 'INTERNAL' } },
  ])
  expect(JSON.stringify(errors)).not.toMatch(/hidden|relation|select/i)
  expect(lines.filter(({ facts }) => facts.requestId === requestId)).toHaveLength(1)
})

test('browsers are told only of origins that may ask', async () => {
  const { url } = await startApi({ allowedOrigins: ['https://app.example.com'] })
  const preflight = async (origin: string) => {
    const headers = {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type',
    }
    const response = await fetch(url, { method: 'OPTIONS', headers })
    return [
      response.status,
      response.headers.get('access-control-allow-origin'),
      response.headers.get('access-control-allow-credentials'),
    ]
  }
  expect(await preflight('https://app.example.com')).toEqual([204, 'https://app.example.com', null])
  expect(await preflight(new URL(url).origin)).toEqual([204, new URL(url).origin, null])
  expect(await preflight('https://evil.example')).toEqual([204, null, null])
  expect(await preflight('null')).toEqual([204, null, null])
  const refused = await fetch(url, { method: 'POST', headers: { origin: 'https://app.example.com' } })
  expect([refused.status, refused.headers.get('access-control-allow-origin')]).toEqual([401, 'https://app.example.com'])
})

test('GraphiQL is one page with its tabs, nothing from elsewhere, and no key', async () => {
  const { url, adminKey } = await startApi()
  const page = await fetch(url, { headers: { accept: 'text/html,*/*' } })
  const html = await page.text()
  expect(page.headers.get('content-type')).toContain('text/html')
  expect(html).toContain('<title>Postrider</title>')
  for (const step of [
    '1 · Create an endpoint',
    '2 · Watch deliveries',
    '3 · Publish',
    '4 · Why did it fail',
    '5 · Retry',
    '6 · Replay',
    '7 · Who would get it',
  ])
    expect(html).toContain(step)
  expect(html).not.toContain(adminKey)
  expect(html).not.toMatch(/<(script|link)[^>]+(src|href)="https?:/)

  const without = await startApi({ graphiql: false })
  expect((await fetch(without.url, { headers: { accept: 'text/html' } })).status).toBe(401)
})

test('health and readiness', async () => {
  const { server, db } = await startApi()
  const get = async (path: string) => {
    const response = await fetch(`${server.url()}${path}`)
    return [response.status, await response.json()]
  }
  expect(await get('/health')).toEqual([200, { status: 'up' }])
  expect(await get('/ready')).toEqual([200, { status: 'ready' }])
  expect((await get('/nowhere'))[0]).toBe(404)
  await db.close()
  expect(await get('/health')).toEqual([200, { status: 'up' }])
  expect(await get('/ready')).toEqual([503, { status: 'unavailable', reason: expect.any(String) }])
  // Asked so often, it is asked once more before it ends.
  const closing = server.close()
  expect(await get('/ready')).toEqual([503, { status: 'stopping', reason: expect.any(String) }])
  await closing
})

test('malformed requests are answered, not fatal', async () => {
  const { url, send, adminKey } = await startApi()
  for (const text of [
    'GET //\\ HTTP/1.1\r\nhost: x\r\n\r\n',
    'GET http://[ HTTP/1.1\r\nhost: x\r\n\r\n',
    'nonsense\r\n\r\n',
    'GET //[ HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
    `GET /graphql?query={viewer{id}} HTTP/1.1\r\nhost: [\r\nauthorization: Bearer ${adminKey}\r\n\r\n`,
    'GET /graphql HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
  ]) {
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(text))
      socket.on('data', (chunk) => {
        resolve(String(chunk))
        socket.destroy()
      })
      socket.on('close', () => resolve(''))
    })
    expect(answer, text).toMatch(/^HTTP\/1.1 4\d\d/)
  }
  expect((await send('{ viewer { name } }')).status).toBe(200)
})

/** Five fields a level, each of which spreads the next: 5^levels fields in a document of a kilobyte. */
function fragmentsThatMultiply(levels: number): string {
  const fragments = Array.from({ length: levels }, (_, level) => {
    const fields = Array.from({ length: 5 }, (_, i) => `a${level}${i}: lastAttempt { delivery { ...F${level + 1} } }`)
    return `fragment F${level} on Delivery { ${fields.join(' ')} }`
  })
  return `${fragments.join(' ')} fragment F${levels} on Delivery { id }`
}
