import { once } from 'node:events'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createClient } from 'graphql-ws'
import { expect, onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import { authority, client, otherClient, valid } from '../egress/certificates.ts'
import type { Canary, Trace } from '../support/canary.ts'
import { eventually } from '../support/eventually.ts'
import { type ReceivedRequest, startReceiver } from '../support/receiver.ts'
import {
  ACCEPTED,
  asLiteral,
  BROKEN_BODIES,
  BROKEN_DOCUMENTS,
  basic,
  bearer,
  certificate,
  NAME_OF_HEADER,
  oauth,
  PROOFS,
  REFUSED,
} from './proofs.ts'

// biome-ignore lint/suspicious/noExplicitAny: whoever asks knows what comes
type Data = any

/** What the part about proofs needs of the story that it is part of. */
export type Teller = {
  canaries: Canary[]
  traces: Trace[]
  /** Of an admin. */
  key: string
  url(): string
  say(query: string, variables?: object, options?: { key?: string; told?: string[] }): Promise<Data>
}

const TENANT = 'proofs'
const CREATE =
  'mutation ($input: EndpointCreateInput!) { endpointCreate(input: $input) { endpoint { id headers { name value } } secret userErrors { code message path } } }'
const UPDATE =
  'mutation ($id: ID!, $input: EndpointUpdateInput!) { endpointUpdate(id: $id, input: $input) { endpoint { id credentials { kind username } } userErrors { code message path } } }'

/** Endpoints with headers, credentials and certificates of every kind, at receivers and token servers that repeat them. */
export async function giveProofs(teller: Teller): Promise<{ endpoints: string[] }> {
  const { say } = teller
  await say('mutation ($key: String!) { tenantCreate(input: { key: $key }) { userErrors { message } } }', {
    key: TENANT,
  })
  const [echo, tokens, guarded] = [await startReceiver(), await startTokenServer(teller), await startGuarded()]
  onTestFinished(() => echo.close())
  echo.answers((request) =>
    repeating(request, { '/moved': 302, '/unauthorized': 401, '/fine': 200 }[request.path] ?? 500),
  )
  const at = (path: string) => echo.url.replace('/hook', path)

  const made: [id: string, changed: object][] = [
    [await create(teller, at('/fails'), ACCEPTED.headers), changedHeader],
    [await create(teller, at('/fine'), ACCEPTED.authorization), { headers: null, ...bearer(changedToken) }],
    [await create(teller, at('/moved'), ACCEPTED.basic), basic(PROOFS['the password of Basic, changed'])],
    [await create(teller, at('/fails'), { ...ACCEPTED.bearer, ...ACCEPTED.headers }), bearer(changedToken)],
    [await create(teller, at('/fine'), oauth(tokens.at('/token'), SECRET)), oauth(tokens.at('/token'), WRONG)],
    [await create(teller, at('/unauthorized'), oauth(tokens.at('/token'), SECRET, 'BODY')), { credentials: null }],
    [
      await create(teller, guarded.url, { ...certificate(client, authority), ...ACCEPTED.bearer }),
      certificate(otherClient, authority),
    ],
  ]
  // Each answers what it was sent, and none of them a token.
  for (const path of ['/token', '/error', '/garbage', '/object', '/type', '/moved', '/hang-up']) {
    const secret = path === '/token' ? WRONG : PROOFS['the client secret that some token URLs repeat']
    for (const how of ['HEADER', 'BODY']) await create(teller, at('/fine'), oauth(tokens.at(path), secret, how))
  }
  await publish(teller)
  await settled(teller)
  for (const [id, input] of made)
    expect(await refusalOf(say(UPDATE, { id, input: { ...input, description: 'changed' } }))).toBeNull()
  await publish(teller)
  await settled(teller)
  await starred(teller)
  await refusals(
    teller,
    made.map(([id]) => id),
    echo.url,
  )
  return { endpoints: made.map(([id]) => id) }
}

const SECRET = PROOFS['the client secret']
const WRONG = PROOFS['a client secret that is the wrong one']
const changedToken = PROOFS['the token of Bearer, changed']
const changedHeader = {
  headers: [{ name: NAME_OF_HEADER, value: PROOFS['the value of a header, changed'] }, { name: 'x-signs' }],
}

/** One event for the endpoints of that tenant. */
export async function publish({ say }: Teller): Promise<void> {
  const { eventPublish } = await say(
    'mutation ($tenant: String) { eventPublish(input: { tenant: $tenant, type: "proof.wanted", payload: {} }) { event { id } userErrors { message } } }',
    { tenant: TENANT },
  )
  expect(eventPublish.event).not.toBeNull()
}

async function settled({ say }: Teller): Promise<void> {
  await eventually(async () => {
    const query =
      'query ($tenant: String) { deliveries(tenant: $tenant, first: 100) { nodes { state } } events(tenant: $tenant) { nodes { routedAt } } }'
    const { deliveries, events } = await say(query, { tenant: TENANT })
    expect(events.nodes.every(({ routedAt }: Data) => routedAt !== null)).toBe(true)
    expect(deliveries.nodes.filter(({ state }: Data) => state === 'PENDING')).toEqual([])
  }, 20_000)
}

/** What came of it: the receivers were shown everything, and what they repeat of it is stars in what is recorded. */
async function starred({ say }: Teller): Promise<void> {
  const query =
    'query ($tenant: String) { attempts(tenant: $tenant, first: 100) { nodes { errorClass errorMessage request { url headers { name value } } response { status headers { name value } body } } } }'
  const { attempts } = await say(query, { tenant: TENANT })
  const classes: string[] = attempts.nodes.map(({ errorClass }: Data) => errorClass)
  expect(classes.filter((each) => each === 'OAUTH').length).toBeGreaterThan(20)
  const repeated = attempts.nodes.flatMap(({ response }: Data) => response?.headers ?? [])
  const repeatedIn = (kind: string, name = 'x-authorization') =>
    repeated.filter((each: Data) => each.name === name && each.value.startsWith(kind)).map((each: Data) => each.value)
  const stars = (text: string) => '*'.repeat(text.length)
  expect(repeatedIn('Basic')).toContain(`Basic ${stars(PROOFS['user name and password of Basic'])}`)
  expect(repeatedIn('Bearer')).toContain(`Bearer ${stars(PROOFS['the token of Bearer'])}`)
  expect(repeatedIn('Bearer')).toContain(`Bearer ${stars(accessToken(0))}`)
  expect(repeatedIn('*')).toContain(stars(PROOFS['an authorization as a header']))
  expect(repeatedIn('*', 'x-key')).toContain(stars(PROOFS['the value of a header']))
  expect(repeatedIn('*', 'x-key')).toContain(stars(PROOFS['the value of a header, with signs']))
  const bodies: string[] = attempts.nodes.flatMap(({ response }: Data) => response?.body ?? [])
  expect(bodies.filter((body) => body.includes('****')).length).toBeGreaterThan(10)
  expect(attempts.nodes.some((each: Data) => /points to .*\*{20}/.test(each.errorMessage ?? ''))).toBe(true)
}

/** The same inputs as variables and in the document, over HTTP and over a WebSocket, for a new endpoint and for others. */
async function refusals(teller: Teller, [id = '']: string[], url: string): Promise<void> {
  const { say, traces } = teller
  const socket = speak(teller)
  for (const wrong of REFUSED) {
    const input = { url, tenant: TENANT, ...wrong }
    const { secret: _, ...changes } = wrong as Data
    expect(await refusalOf(say(CREATE, { input })), JSON.stringify(Object.keys(wrong))).not.toBeNull()
    expect(await refusalOf(socket.say(CREATE, { input }))).not.toBeNull()
    if (Object.keys(changes).length > 0) {
      expect(await refusalOf(say(UPDATE, { id, input: changes }))).not.toBeNull()
      expect(await refusalOf(socket.say(UPDATE, { id, input: changes }))).not.toBeNull()
    }
    const literal = asLiteral(input)
    if (literal === null) continue
    const document = `mutation { endpointCreate(input: ${literal}) { secret userErrors { message path } } }`
    expect(await refusalOf(say(document))).not.toBeNull()
    expect(await refusalOf(socket.say(document))).not.toBeNull()
  }
  const nobody = {
    id: 'ep_00000000000000000000000000',
    input: bearer(PROOFS['a proof for an endpoint that is not there']),
  }
  expect(await refusalOf(say(UPDATE, nobody))).not.toBeNull()
  for (const document of BROKEN_DOCUMENTS) {
    await say(document)
    await socket.say(document)
  }
  await socket.close()
  for (const body of BROKEN_BODIES) {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${teller.key}` }
    const answer = await fetch(`${teller.url()}/graphql`, { method: 'POST', headers, body })
    traces.push({ place: 'an answer to a broken request', text: await answer.text() })
    const variables = encodeURIComponent(body)
    const other = await fetch(`${teller.url()}/graphql?query={__typename}&variables=${variables}`, { headers })
    traces.push({ place: 'an answer to broken variables', text: await other.text() })
    traces.push({ place: 'an answer over a WebSocket to a broken message', text: await shout(teller, body) })
  }
}

/** Why nothing came of a mutation; null when it was accepted. Every answer to it is on record already. */
async function refusalOf(answering: Promise<Data>): Promise<string | null> {
  const data = await answering
  const [payload] = Object.values(data ?? {}) as Data[]
  if (!payload) return 'errors'
  return payload.userErrors.length > 0 ? JSON.stringify(payload.userErrors) : null
}

async function create({ say, canaries }: Teller, url: string, more: object): Promise<string> {
  const input = { tenant: TENANT, url, retry: { delaysSeconds: [1] }, ...more }
  const { endpointCreate } = await say(CREATE, { input }, { told: ['secret'] })
  expect(endpointCreate.userErrors).toEqual([])
  canaries.push({ name: 'the secret of a new endpoint', value: endpointCreate.secret })
  return endpointCreate.endpoint.id
}

/** Over one WebSocket. What it answers is on record. */
function speak({ url, key, traces }: Teller) {
  const connection = createClient({
    url: `${url().replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${key}` },
    retryAttempts: 0,
  })
  const say = (query: string, variables: object = {}) =>
    new Promise<Data>((resolve) => {
      const noted = (answer: unknown, data: Data) => {
        const text = answer instanceof Error ? answer.message : JSON.stringify(answer)
        traces.push({ place: `an answer over a WebSocket to ${query.slice(0, 60)}`, text })
        resolve(data)
      }
      const sink = {
        next: (answer: Data) => noted(answer, answer.data),
        error: (error: unknown) => noted(error, null),
        complete() {},
      }
      connection.subscribe({ query, variables: variables as Record<string, unknown> }, sink)
    })
  return { say, close: async () => connection.dispose() }
}

/** A message as it is; answers what comes until the server closes the socket, or has answered. */
async function shout({ url, key }: Teller, message: string): Promise<string> {
  const socket = new WebSocket(`${url().replace('http', 'ws')}/graphql`, 'graphql-transport-ws')
  const heard: string[] = []
  socket.on('message', (text) => {
    heard.push(String(text))
    if (heard.length === 1) socket.send(message)
    else socket.close()
  })
  socket.on('open', () =>
    socket.send(JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${key}` } })),
  )
  const [code, reason] = await once(socket, 'close')
  return `${heard.join('\n')}\n${code} ${reason}`
}

/** Everything that it was sent, in headers and body, as it is and as receivers write it. */
function repeating({ headers, rawHeaders }: ReceivedRequest, status: number) {
  const authorization = headers.authorization ?? ''
  const key = headers[NAME_OF_HEADER.toLowerCase()] ?? ''
  const [, basicPair = ''] = /^Basic (.*)$/.exec(authorization) ?? []
  const decoded = Buffer.from(basicPair, 'base64').toString()
  return {
    status,
    headers: {
      'x-authorization': authorization,
      'x-key': [key, headers['x-signs'] ?? ''],
      'x-all': JSON.stringify(rawHeaders),
      'set-cookie': `authorization=${encodeURIComponent(authorization)}; key=${key}`,
      location: `https://example.com/?key=${encodeURIComponent(`${key} ${authorization}`)}&authorization=${authorization.replaceAll(' ', '%20')}`,
    },
    body: `${JSON.stringify(rawHeaders)}\n${JSON.stringify({ decoded })}\n${decoded}\n${authorization}${key}${encodeURIComponent(decoded)}`,
  }
}

const issued: string[] = []
const accessToken = (index: number) => issued[index] as string

/** A token endpoint: `/token` knows one secret; all paths repeat what they were sent, the others in place of a token. */
async function startTokenServer({ canaries }: Teller) {
  const server = await startReceiver()
  onTestFinished(() => server.close())
  const newToken = () => {
    const value = `at-${crypto.randomUUID()}-${crypto.randomUUID()}`
    issued.push(value)
    canaries.push({ name: 'an access token', value })
    return value
  }
  server.answers(({ path, headers, body }) => {
    const form = new URLSearchParams(body.toString())
    const pair = Buffer.from((headers.authorization ?? '').replace('Basic ', ''), 'base64').toString()
    const secret = form.get('client_secret') ?? pair.split(':')[1] ?? ''
    const echo = { secret, authorization: headers.authorization ?? '', 'x-form': body.toString() }
    const json = (status: number, fields: object) => ({ status, headers: echo, body: JSON.stringify(fields) })
    if (path === '/token' && secret === SECRET) {
      return json(200, { access_token: newToken(), token_type: 'Bearer', expires_in: 3600, ...echo })
    }
    if (path === '/error') return json(400, { error: secret, error_description: `no ${secret}` })
    if (path === '/garbage') return { status: 200, headers: echo, body: `<b>${secret}</b> ${body}` }
    if (path === '/object') return json(200, { access_token: { of: secret }, ...echo })
    if (path === '/type') return json(200, { access_token: newToken(), token_type: `mac ${secret}` })
    if (path === '/moved') return { status: 302, headers: { ...echo, location: `/token?secret=${secret}` } }
    if (path === '/hang-up') return { reset: true }
    return json(401, { error: 'invalid_client', ...echo })
  })
  return { at: (path: string) => server.url.replace('/hook', path) }
}

/** A receiver that wants a client certificate, and takes that of one client. */
async function startGuarded() {
  const server = createServer({ ...valid, ca: authority, requestCert: true }, (request, response) => {
    const headers = { 'x-authorization': request.headers.authorization ?? '' }
    request.resume().on('end', () => response.writeHead(200, headers).end(JSON.stringify(request.headers)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/` }
}
