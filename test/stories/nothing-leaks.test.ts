import { randomBytes } from 'node:crypto'
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createClient } from 'graphql-ws'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { silentLog } from '../../src/log.ts'
import { type Db, openPool } from '../../src/postgres/client.ts'
import { rotateKeys } from '../long/live-rotation.ts'
import { launch, type Process, temporaryDirectory } from '../support/app.ts'
import { type Canary, createSearch, everyTable, type Trace } from '../support/canary.ts'
import { eventually } from '../support/eventually.ts'
import { startReceiver } from '../support/receiver.ts'
import { PROOFS } from './proofs.ts'
import { giveProofs, publish } from './proofs-story.ts'

/**
 * Known secrets go through everything that can be done with Postrider, and through everything that can go wrong with it. After
 * that they stand nowhere: not in what it printed or answered, not in what receivers got, not in any table or file.
 */

const secret = () => `whsec_${randomBytes(32).toString('base64')}`
const password = () => randomBytes(24).toString('hex')

/** Everything that is secret, and given to Postrider by somebody. What it makes itself is added while the story goes on. */
const GIVEN = {
  'the admin key': `prk_${randomBytes(32).toString('hex')}`,
  'a key that nobody has': `prk_${randomBytes(32).toString('hex')}`,
  'a brought secret': secret(),
  'a brought secret, for a rotation': secret(),
  'a refused secret, too short': `whsec_${randomBytes(23).toString('base64')}`,
  'a refused secret, not canonical': `whsec_${randomBytes(31).toString('base64url')}`,
  'a refused secret, without its prefix': randomBytes(32).toString('base64'),
  'a secret that was to be stored when the database failed': secret(),
  'a secret for an endpoint that is not there': secret(),
  'the password in a URL that was refused': password(),
  'the password of the proxy': password(),
  ...PROOFS,
}

test('no secret is found anywhere but where it was asked for', async () => {
  const story = await begin()
  const { say, canaries, traces } = story
  const first = await story.start()
  const [failing, good] = [await startReceiver(), await startReceiver()]
  onTestFinished(() => Promise.all([failing.close(), good.close()]).then(() => {}))
  failing.answers({ status: 500, body: 'no' })

  const one = await create(story, {
    url: failing.url,
    secret: GIVEN['a brought secret'],
    retry: { delaysSeconds: [1] },
  })
  const two = await create(story, { url: good.url })
  const operations = await create(story, { tenant: 'operations', url: good.url })
  await rotate(story, one, { secret: GIVEN['a brought secret, for a rotation'] })
  await rotate(story, two, { overlapSeconds: 60 })
  for (const id of [one, two, operations]) await reveal(story, id)
  const feed = follow(
    story,
    first,
    '{ deliveryAttempts(tenant: "*") { __typename cursor ... on AttemptRecorded { attempt { id errorMessage request { headers { name value } body } response { headers { name value } body } } } } }',
  )
  await refusals(story, one, failing.url)
  await foreignKeys(story, first)
  await credentialsOfOurOwn(story)
  const { endpoints } = await giveProofs(story)

  for (const type of ['invoice.paid', 'invoice.sent'])
    await say(
      'mutation ($type: String!) { eventPublish(input: { type: $type, payload: { n: 1 } }) { event { id } userErrors { message } } }',
      { type },
    )
  await eventually(async () => expect((await deliveries(story, 'FAILED')).length).toBe(2), 15_000)
  await good.waitForRequests(3)
  const [lost] = await deliveries(story, 'FAILED')
  await say('mutation ($id: ID!) { deliveryRetry(id: $id) { delivery { id } userErrors { message } } }', { id: lost })
  await say(
    'mutation { replayStart(input: { select: { deliveries: { states: [FAILED] } } }) { replay { id } userErrors { message } } }',
  )
  await say('mutation ($id: ID!) { endpointTest(id: $id) { delivery { id } userErrors { message } } }', { id: two })
  await failing.waitForRequests(7, 15_000)

  await databaseFaults(story, one, two)
  await faultsOfProofs(story, endpoints)
  await everythingThatCanBeRead(story, first)
  await eventually(() => expect(feed.items.length).toBeGreaterThan(5))
  await feed.stop()

  // The master key is changed: a new one while it runs, and the rest while nothing does.
  await story.command('--new')
  await first.stop()
  await story.addMasterKeys()
  await story.command()
  const second = await story.start({
    POSTRIDER_EGRESS_PROXY: `http://proxy:${GIVEN['the password of the proxy']}@127.0.0.1:9`,
  })
  await say(
    'mutation { eventPublish(input: { type: "invoice.paid", payload: {} }) { event { id } userErrors { message } } }',
  )
  await eventually(
    async () =>
      expect(
        JSON.stringify(await say('{ attempts(filter: { errorClasses: [PROXY] }) { nodes { errorMessage } } }')),
      ).toContain('roxy'),
    15_000,
  )
  await reveal(story, one)
  await publish(story)
  await everythingThatCanBeRead(story, second)

  for (const { method, path, rawHeaders, body } of [...failing.requests, ...good.requests]) {
    traces.push({ place: 'a request to a receiver', text: `${method} ${path}\n${JSON.stringify(rawHeaders)}\n${body}` })
  }
  const tables = await everyTable(story.db())
  expect(tables.length).toBeGreaterThan(30)
  await second.stop()
  await wrongKeys(story)
  const search = createSearch(canaries)
  const leaks = search.inTraces([...tables, ...traces])
  const files = await filesIn(story.dataDir)
  expect(files.length).toBeGreaterThan(500)
  for (const file of files) leaks.push(...search.inBytes(file, await readFile(join(story.dataDir, file))))
  expect(leaks).toEqual([])
  // Nothing would be found in nothing.
  for (const place of [
    'what the server printed',
    'an answer',
    'a request to a receiver',
    'a page',
    'the live feed',
    'an answer over a WebSocket',
    'an answer to a broken request',
    'what keys:rotate printed',
  ]) {
    expect(
      traces.filter((trace) => trace.place.startsWith(place) && trace.text.length > 20),
      place,
    ).not.toEqual([])
  }
}, 180_000)

type Story = Awaited<ReturnType<typeof begin>>
// biome-ignore lint/suspicious/noExplicitAny: whoever asks knows what comes
type Data = any

async function begin() {
  const dataDir = await temporaryDirectory()
  // Run by root, the server's user must be able to reach it.
  await chmod(dataDir, 0o755)
  const environment = {
    POSTRIDER_DATA_DIR: dataDir,
    POSTRIDER_ADMIN_KEY: GIVEN['the admin key'],
    POSTRIDER_ALLOW_NETWORKS: '127.0.0.0/8',
    POSTRIDER_LOG_LEVEL: 'debug',
  }
  const canaries: Canary[] = Object.entries(GIVEN).map(([name, value]) => ({ name, value }))
  const traces: Trace[] = []
  let url = ''
  let db: Db | null = null
  onTestFinished(() => stopPostgres(dataDir))
  return {
    dataDir,
    environment,
    canaries,
    traces,
    key: GIVEN['the admin key'],
    url: () => url,
    db: () => db as Db,
    async start(more: Record<string, string> = {}): Promise<Process> {
      const server = await launch({ ...environment, ...more })
      url = server.api().url
      const [, , , , host = ''] = (await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')
      const pool = await openPool(
        { host, port: 5432, user: 'postrider', database: 'postrider' },
        { max: 2, name: 'canary', log: silentLog },
      )
      db = pool
      onTestFinished(() => pool.close())
      await this.addMasterKeys()
      const stop = async () => {
        await pool.close()
        const code = await server.stop()
        expect(server.output()).toContain('"level":"debug"')
        traces.push({ place: 'what the server printed', text: server.output() })
        return code
      }
      return { ...server, stop }
    },
    /** An operation, what it answered on record but for the secrets that it was asked for. */
    async say(
      query: string,
      variables: object = {},
      { key = GIVEN['the admin key'], told = [] as string[] } = {},
    ): Promise<Data> {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` }
      const response = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers,
        body: JSON.stringify({ query, variables }),
      })
      const answer = await response.json()
      const text = JSON.stringify(answer, (name, value) =>
        told.includes(name) && typeof value === 'string' ? undefined : value,
      )
      traces.push({ place: `an answer to ${query.slice(0, 80)}`, text })
      return answer.data as Data
    },
    /** `npm run keys:rotate`. */
    async command(...options: string[]) {
      const { code, output } = await rotateKeys(environment, ...options)
      expect(output, output).not.toMatch(/\n\s+at /)
      expect(code, output).toBe(0)
      traces.push({ place: 'what keys:rotate printed', text: output })
    },
    async addMasterKeys() {
      const text = await readFile(join(dataDir, 'master-keys'), 'utf8')
      for (const value of text.split(',').map((key) => key.trim())) {
        if (!canaries.some((canary) => canary.value === value)) canaries.push({ name: 'a master key', value })
      }
    },
  }
}

async function create({ say, canaries }: Story, input: object): Promise<string> {
  const data = await say(
    'mutation ($input: EndpointCreateInput!) { endpointCreate(input: $input) { endpoint { id } secret userErrors { message } } }',
    { input },
    { told: ['secret'] },
  )
  const { endpoint, secret } = data.endpointCreate as { endpoint: { id: string }; secret: string }
  canaries.push({ name: 'the secret of a new endpoint', value: secret })
  return endpoint.id
}

async function rotate({ say, canaries }: Story, id: string, more: object): Promise<void> {
  const data = await say(
    'mutation ($id: ID!, $overlapSeconds: Int, $secret: String) { endpointRotateSecret(id: $id, overlapSeconds: $overlapSeconds, secret: $secret) { endpoint { secrets { id signsUntil } } secret userErrors { message } } }',
    { id, ...more },
    { told: ['secret'] },
  )
  canaries.push({ name: 'the secret of a rotation', value: (data.endpointRotateSecret as { secret: string }).secret })
}

async function reveal({ say }: Story, id: string): Promise<void> {
  const data = await say(
    'mutation ($id: ID!) { endpointRevealSecret(id: $id) { endpoint { id } secrets { id secret } userErrors { message } } }',
    { id },
    { told: ['secret'] },
  )
  expect((data.endpointRevealSecret as { secrets: object[] }).secrets.length).toBeGreaterThan(0)
}

/** What is refused, with a secret in it. */
async function refusals({ say }: Story, id: string, url: string): Promise<void> {
  const CREATE =
    'mutation ($input: EndpointCreateInput!) { endpointCreate(input: $input) { endpoint { id } userErrors { code message path } } }'
  const ROTATE =
    'mutation ($id: ID!, $secret: String, $overlapSeconds: Int) { endpointRotateSecret(id: $id, secret: $secret, overlapSeconds: $overlapSeconds) { endpoint { id } userErrors { code message path } } }'
  const wrong = [
    'a refused secret, too short',
    'a refused secret, not canonical',
    'a refused secret, without its prefix',
  ] as const
  for (const name of wrong) {
    await say(CREATE, { input: { url, secret: GIVEN[name] } })
    await say(ROTATE, { id, secret: GIVEN[name] })
  }
  // It signs already; and for too long; and where there is none.
  await say(ROTATE, { id, secret: GIVEN['a brought secret'] })
  await say(ROTATE, { id, secret: GIVEN['a secret for an endpoint that is not there'], overlapSeconds: 1e6 })
  await say(ROTATE, {
    id: 'ep_00000000000000000000000000',
    secret: GIVEN['a secret for an endpoint that is not there'],
  })
  await say(CREATE, { input: { url: `https://user:${GIVEN['the password in a URL that was refused']}@example.com/` } })
  await say(
    'mutation ($id: ID!, $url: String) { endpointUpdate(id: $id, input: { url: $url }) { userErrors { message } } }',
    { id, url: `http://${GIVEN['the password in a URL that was refused']}@127.0.0.1/` },
  )
}

/** Keys and tokens that Postrider makes, and tells once: used, ended, and used again. */
async function credentialsOfOurOwn({ say, canaries }: Story): Promise<void> {
  const { apiKeyCreate } = await say(
    'mutation { apiKeyCreate(input: { tenant: "*", name: "canary", scopes: [ADMIN] }) { apiKey { id hint } key userErrors { message } } }',
    {},
    { told: ['key'] },
  )
  const { portalSessionCreate } = await say(
    'mutation { portalSessionCreate(input: { name: "canary", scope: MANAGE }) { portalSession { id name } token userErrors { message } } }',
    {},
    { told: ['token'] },
  )
  const [key, token]: string[] = [apiKeyCreate.key, portalSessionCreate.token]
  expect([key, token]).toEqual([expect.stringMatching(/^prk_/), expect.stringMatching(/^prs_/)])
  canaries.push(
    { name: 'an API key', value: String(key) },
    { name: 'the token of a portal session', value: String(token) },
  )
  const use = async () => {
    for (const tenant of [key, token])
      await say('query ($tenant: String) { endpoints(tenant: $tenant) { nodes { id } } }', { tenant })
    for (const shown of [key, token])
      await say('{ viewer { id name } endpoints { nodes { id } } }', {}, { key: String(shown) })
    await say(
      'mutation ($key: String!, $tenant: String) { apiKeyCreate(input: { tenant: $tenant, name: $key, scopes: [PUBLISH] }) { userErrors { message } } }',
      { key: ['wrong', key], tenant: { is: token } },
      { key: String(key) },
    )
  }
  await use()
  await say('mutation ($id: ID!) { portalSessionRevoke(id: $id) { portalSession { id } userErrors { message } } }', {
    id: portalSessionCreate.portalSession.id,
  })
  await say('mutation ($id: ID!) { apiKeyRevoke(id: $id) { apiKey { id } userErrors { message } } }', {
    id: apiKeyCreate.apiKey.id,
  })
  await use()
}

/** A key that is not one, in every place where a key may stand, and in some where it may not. */
async function foreignKeys({ traces, url, say }: Story, server: Process): Promise<void> {
  const key = GIVEN['a key that nobody has']
  await say('{ viewer { id } }', {}, { key })
  const places: RequestInit[] = [
    { headers: { authorization: key } },
    { headers: { authorization: `Basic ${Buffer.from(`user:${key}`).toString('base64')}` } },
    { headers: { authorization: `Bearer ${key} ${key}` } },
    { headers: { 'x-api-key': key, cookie: `key=${key}` } },
  ]
  for (const place of places) {
    const headers = { 'content-type': 'application/json', ...(place.headers as object) }
    const response = await fetch(`${url()}/graphql`, { method: 'POST', headers, body: '{"query":"{ viewer { id } }"}' })
    traces.push({ place: 'an answer to a wrong key', text: `${response.status} ${await response.text()}` })
  }
  const response = await fetch(
    `${url()}/graphql?query={viewer{id}}&authorization=${key}&apiKey=${GIVEN['the admin key']}`,
  )
  traces.push({ place: 'an answer to a key in the query string', text: await response.text() })
  const closed = await new Promise<string>((resolve) => {
    const client = createClient({
      url: `${server.api().url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${key}` },
      retryAttempts: 0,
    })
    client.subscribe(
      { query: '{ viewer { id } }' },
      {
        next: (item) => resolve(JSON.stringify(item)),
        error: (error) => resolve(String((error as { reason?: string }).reason ?? error)),
        complete() {},
      },
    )
  })
  traces.push({ place: 'an answer over a WebSocket', text: closed })
}

/** The live feed, all of it on record. */
function follow({ traces }: Story, server: Process, subscription: string) {
  const feed = server.api(GIVEN['the admin key']).follow<object>(`subscription ${subscription}`)
  const stop = async () => {
    await feed.stop()
    traces.push({ place: 'the live feed', text: JSON.stringify(feed.items) })
  }
  return { items: feed.items, stop }
}

/** Secrets are under way when the database fails them, and one that is stored is damaged. */
async function databaseFaults(story: Story, one: string, two: string): Promise<void> {
  const { say, db } = story
  const { sql } = db()
  await sql`alter table postrider.secrets rename to hidden`
  const secret = GIVEN['a secret that was to be stored when the database failed']
  await say('mutation ($input: EndpointCreateInput!) { endpointCreate(input: $input) { userErrors { message } } }', {
    input: { url: 'https://example.com/', secret },
  })
  await say(
    'mutation ($id: ID!, $secret: String) { endpointRotateSecret(id: $id, secret: $secret) { userErrors { message } } }',
    { id: one, secret },
  )
  await say('mutation ($id: ID!) { endpointRevealSecret(id: $id) { userErrors { message } } }', { id: one })
  await say(
    'mutation { eventPublish(input: { type: "invoice.paid", payload: {} }) { event { id } userErrors { message } } }',
  )
  await sql`alter table postrider.hidden rename to secrets`
  await sql`alter table postrider.secrets add constraint refusing check (signs_until is not null) not valid`
  await say(
    'mutation ($id: ID!, $secret: String) { endpointRotateSecret(id: $id, secret: $secret) { userErrors { message } } }',
    { id: one, secret },
  )
  await sql`alter table postrider.secrets drop constraint refusing`
  const { endpoint } = await say('query ($id: ID!) { endpoint(id: $id) { secrets { id } } }', { id: two })
  expect(endpoint.secrets).toHaveLength(2)
  const [intact] = await sql`select id, sealed from postrider.secrets order by id limit 1`
  await sql`update postrider.secrets set sealed = set_byte(sealed, 40, 255 - get_byte(sealed, 40)) where id = ${intact?.id}`
  await say('mutation ($id: ID!) { endpointRevealSecret(id: $id) { userErrors { message } } }', { id: one })
  await say(
    'mutation { eventPublish(input: { type: "invoice.paid", payload: {} }) { event { id } userErrors { message } } }',
  )
  await eventually(
    async () =>
      expect(
        JSON.stringify(await say('{ attempts(filter: { errorClasses: [INTERNAL] }) { nodes { id errorMessage } } }')),
      ).toContain('att_'),
    15_000,
  )
  await sql`update postrider.secrets set sealed = ${intact?.sealed} where id = ${intact?.id}`
}

/** The same with what is shown to receivers. */
async function faultsOfProofs(story: Story, [id]: string[]): Promise<void> {
  const { say, db } = story
  const { sql } = db()
  const value = PROOFS['a proof that was to be stored when the database failed']
  const give = async () => {
    const input = { headers: [{ name: 'x-key', value }], credentials: { bearer: { token: value } } }
    await say(
      'mutation ($input: EndpointCreateInput!) { endpointCreate(input: $input) { secret userErrors { message } } }',
      { input: { url: 'https://example.com/', ...input } },
    )
    await say(
      'mutation ($id: ID!, $input: EndpointUpdateInput!) { endpointUpdate(id: $id, input: $input) { userErrors { message } } }',
      { id, input },
    )
  }
  await sql`alter table postrider.endpoint_credentials rename to hidden`
  await give()
  await publish(story)
  await sql`alter table postrider.hidden rename to endpoint_credentials`
  await sql`alter table postrider.endpoint_credentials add constraint refusing check (sealed is null) not valid`
  await give()
  await sql`alter table postrider.endpoint_credentials drop constraint refusing`
  const intact = await sql`select endpoint_id, part, sealed from postrider.endpoint_credentials`
  await sql`update postrider.endpoint_credentials set sealed = set_byte(sealed, 40, 255 - get_byte(sealed, 40))`
  await say(
    'mutation ($id: ID!) { endpointUpdate(id: $id, input: { headers: [{ name: "x-signs" }] }) { userErrors { message } } }',
    { id },
  )
  await publish(story)
  const query = '{ attempts(tenant: "proofs", filter: { errorClasses: [INTERNAL] }) { nodes { id errorMessage } } }'
  await eventually(async () => expect((await say(query)).attempts.nodes).not.toEqual([]), 15_000)
  for (const { endpoint_id, part, sealed } of intact) {
    await sql`update postrider.endpoint_credentials set sealed = ${sealed} where endpoint_id = ${endpoint_id} and part = ${part}`
  }
}

async function deliveries({ say }: Story, state: string): Promise<string[]> {
  const data = await say(
    'query ($state: DeliveryState!) { deliveries(filter: { states: [$state] }) { nodes { id } } }',
    { state },
  )
  return (data.deliveries as { nodes: { id: string }[] }).nodes.map(({ id }) => id)
}

async function everythingThatCanBeRead({ say, url, traces }: Story, server: Process): Promise<void> {
  const read = async (query: string) => expect(await say(query), query).toBeTruthy()
  await read(
    '{ viewer { id name scopes } auditLog(tenant: "*", first: 100) { nodes { id action objectId details address actor { name } } } }',
  )
  await read(
    '{ endpoints(tenant: "*", first: 100) { nodes { id url description headers { name value } credentials { kind username oauth2 { tokenUrl clientId scopes audience } } clientCertificate { subject issuer serialNumber fingerprint authorities } secrets { id createdAt signsUntil } tenant { key } } } }',
  )
  await read(
    '{ attempts(tenant: "*", first: 100) { nodes { id errorClass errorMessage request { url headers { name value } } response { status headers { name value } body } } } }',
  )
  await read(
    '{ events(tenant: "*", first: 50) { nodes { id type payloadJson } } replays(tenant: "*") { nodes { id select } } }',
  )
  await read(
    '{ apiKeys(tenant: "*") { nodes { id name hint scopes } } portalSessions(tenant: "*") { nodes { id name scope apiKey { hint } } } }',
  )
  await read('{ __schema { types { name fields { name description } } } }')
  for (const path of ['/graphql', '/health', '/ready', '/metrics', '/', '/nowhere']) {
    const response = await fetch(`${url()}${path}`, {
      headers: { accept: 'text/html', authorization: `Bearer ${GIVEN['the admin key']}` },
    })
    traces.push({ place: `a page ${path}`, text: `${JSON.stringify([...response.headers])}\n${await response.text()}` })
  }
  traces.push({ place: 'what the server printed so far', text: server.output() })
}

/** A start with a key that opens nothing. */
async function wrongKeys({ dataDir, environment, traces, canaries }: Story): Promise<void> {
  const path = join(dataDir, 'master-keys')
  const right = await readFile(path, 'utf8')
  const other = randomBytes(32).toString('base64')
  canaries.push({ name: 'a master key that is not the right one', value: other })
  await writeFile(path, other)
  const { message } = (await launch(environment).catch((error: Error) => error)) as Error
  expect(message).toContain('sealed with another master key')
  traces.push({ place: 'what the server printed when it refused to start', text: message })
  await writeFile(path, right)
}

/** All but the master keys, which are where they belong. */
async function filesIn(dataDir: string): Promise<string[]> {
  const entries = await readdir(dataDir, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && entry.name !== 'master-keys')
    .map(({ parentPath, name }) => join(parentPath, name).slice(dataDir.length + 1))
}

/** For a test that fails half-way: the server outlives the process that started it. */
async function stopPostgres(dataDir: string): Promise<void> {
  const pid = await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').catch(() => null)
  if (pid !== null) process.kill(Number.parseInt(pid, 10), 'SIGQUIT')
}
