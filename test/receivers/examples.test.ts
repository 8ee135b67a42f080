import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer as createHttpServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { signStandard } from '../../src/deliveries/sign.ts'
import { type Api, createEndpoint, publish, startServer } from '../support/app.ts'
import { openDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { codeBlock, DOCUMENT } from './document.ts'
import { build, environmentOf, LANGUAGES, type Language, run, temporaryDirectory, versionOf } from './languages.ts'

/** The other examples of schema/webhook.md: the complete receivers, the request made in a shell, and the SQL. */

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'

for (const language of LANGUAGES.filter(({ receiver }) => receiver)) {
  const version = versionOf(language)
  const name = `${language.name} ${version ?? 'is not installed'}`

  test.skipIf(version === null)(`${name}: the receiver takes each event once, and no forgery`, async () => {
    const { url, output } = await startExample(language, SECRET)
    const { api } = await startServer()
    await createEndpoint(api, { url, secret: SECRET })

    const event = await publish(api, { type: 'invoice.paid', payloadJson: '{"n":9007199254740993,"text":"Zürich 🏔"}' })
    const large = await publish(api, { type: 'invoice.paid', payloadJson: `"${'ä'.repeat(131_071)}"` })

    for (const id of [event, large]) await eventually(() => expect(linesWith(output(), id)).toBe(1), 20_000)
    const delivery = await eventually(async () => {
      const [first] = await deliveriesOf(api, event)
      expect(first).toMatchObject({ state: 'DELIVERED', attemptsMade: 1 })
      return first as { id: string }
    }, 20_000)
    await api.ask('mutation ($id: ID!) { deliveryRetry(id: $id) { userErrors { message } } }', { id: delivery.id })
    await eventually(async () =>
      expect(await deliveriesOf(api, event)).toMatchObject([{ state: 'DELIVERED', attemptsMade: 2 }]),
    )
    expect(linesWith(output(), event), 'worked on once').toBe(1)
  })

  test.skipIf(version === null)(`${name}: the receiver and the request made in a shell`, async () => {
    const { url, output } = await startExample(language, SECRET)

    expect(await sendFromShell(url, SECRET)).toMatch(/^right {2}204 {2}a genuine request\s*$/)
    await eventually(() => expect(linesWith(output(), 'postrider.test evt_')).toBe(1))

    const otherSecret = `whsec_${Buffer.alloc(32, 5).toString('base64')}`
    const refusal = await sendFromShell(url, otherSecret)
    expect(refusal).toContain('WRONG  401 instead of 2xx')
    expect(refusal).toContain('no signature matches')

    const withoutHeaders = await fetch(url, { method: 'POST', body: '{}' })
    expect([withoutHeaders.status, (await withoutHeaders.text()).trim()]).toEqual([
      401,
      'a webhook header is missing or malformed',
    ])
    const tooLarge = await fetch(url, { method: 'POST', body: 'x'.repeat(1024 * 1024 + 1) }).catch(() => null)
    // Only Node's reads on what it does not want; of the others the client may see no more than the end of the connection.
    expect(language.name === 'Node.js' ? [413] : [413, undefined]).toContain(tooLarge?.status)
    expect(await sendFromShell(url, SECRET), 'it lives').toContain('204')
    await eventually(() => expect(linesWith(output(), 'postrider.test evt_')).toBe(2))
  })

  test.skipIf(version === null)(`${name}: the receiver and everything that can be sent from a shell`, async () => {
    const { url, output } = await startExample(language, SECRET)

    const lines = (await sendFromShell(url, SECRET, EVERYTHING)).trimEnd().split('\n')

    expect(lines.filter((line) => !line.startsWith('right  '))).toEqual(['0 wrong'])
    expect(lines).toHaveLength(sendsIn(EVERYTHING) + 1)
    const accepted = lines.filter((line) => line.startsWith('right  204  '))
    const known = 1
    const worked = () => linesWith(output(), 'postrider.test evt_') + linesWith(output(), 'never.heard_of evt_')
    await eventually(() => expect(worked()).toBe(accepted.length - known))
  })

  test.skipIf(version === null)(`${name}: the receiver does not start without a secret that is one`, async () => {
    const directory = await temporaryDirectory()
    await build(language, directory)
    for (const secret of [
      undefined,
      '',
      ' ',
      'whsec_',
      'whsec_****',
      `"${SECRET}"`,
      SECRET.slice(0, -1),
      `${SECRET} whsec_`,
    ])
      expect(await endOf(language, directory, secret), `with ${secret}`).toEqual({
        code: 1,
        complaint:
          'WEBHOOK_SECRET is missing or broken: a signing secret is whsec_ and the base64 of at least 24 bytes',
      })
  })

  test.skipIf(version === null)(`${name}: two secrets, and two headers of one name`, async () => {
    const otherSecret = `whsec_${Buffer.alloc(33, 5).toString('base64')}`
    const { url, output } = await startExample(language, `${otherSecret} ${SECRET}`)
    expect(await sendFromShell(url, otherSecret)).toContain('right  204')
    expect(await sendFromShell(url, SECRET)).toContain('right  204')
    await eventually(() => expect(linesWith(output(), 'postrider.test evt_')).toBe(2))

    const genuine = { id: 'evt_1', timestamp: Math.floor(Date.now() / 1000), body: '{"type":"twice","id":"evt_1"}' }
    const signature = signStandard(genuine, [SECRET])
    // Whoever has recorded a request must not have the work done again by a second id that nobody verified.
    const statuses = []
    for (const ids of [['evt_1'], ['evt_1', 'evt_2'], ['evt_3', 'evt_1']])
      statuses.push(await post(url, ids, String(genuine.timestamp), signature, genuine.body))
    expect(statuses[0]).toBe(204)
    for (const status of statuses) expect([204, 401]).toContain(status)
    expect(await sendFromShell(url, SECRET)).toContain('right  204')
    await eventually(() => expect(linesWith(output(), 'postrider.test evt_')).toBe(3))
    expect(linesWith(output(), 'twice evt_1')).toBe(1)
  })
}

test.each([
  ['Node.js', 'inbox.set(id, body)', "throw new Error('the disk is full')"],
  ['Python', 'return inbox.setdefault(webhook_id, body) is body', 'raise OSError("the disk is full")'],
])('%s: the receiver answers 500 to its own errors, and logs them', async (name, working, broken) => {
  const language = LANGUAGES.find((language) => language.name === name) as Language
  expect(DOCUMENT).toContain(working)
  const { url, output } = await startExample(language, SECRET, DOCUMENT.replace(working, broken))
  for (const _ of [1, 2]) expect(await sendFromShell(url, SECRET)).toContain('WRONG  500 instead of 2xx')
  await eventually(() => expect(linesWith(output(), 'Error: the disk is full')).toBe(2))
})

test.each([
  ['accepts everything', (response: ServerResponse) => response.writeHead(200).end(), '4'],
  ['refuses everything', (response: ServerResponse) => response.writeHead(401).end(), '2'],
  ['answers nothing', (response: ServerResponse) => response.destroy(), ''],
])('the shell notices a receiver that %s', async (_, answer, wrong) => {
  const server = createHttpServer((request, response) => request.resume().on('end', () => answer(response)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`

  const output = await sendFromShell(url, SECRET, EVERYTHING.replace('[ "$wrong" = 0 ]', '[ "$wrong" != 0 ]'))

  const count = sendsIn(EVERYTHING, wrong)
  expect(linesWith(output, 'WRONG  ')).toBe(count)
  expect(output).toContain(`\n${count} wrong\n`)
})

test('SQL, each event once: of two at a time the second waits, and works only if the first has failed', async () => {
  const { sql } = await openDatabase()
  await sql.unsafe(codeBlock('sql once'))
  const [begin, insert, commit] = statementsOf('sql once-work') as [string, string, string]
  expect([begin, commit]).toEqual(['begin', 'commit'])
  const failure = new Error('the work failed')
  let inserted = () => {}
  const first = { inserted: new Promise<void>((resolve) => (inserted = resolve)), end: (_: Error) => {} }

  const working = sql.begin(async (tx) => {
    expect((await tx.unsafe(insert, ['evt_1'])).count).toBe(1)
    inserted()
    throw await new Promise<Error>((resolve) => (first.end = resolve))
  })
  working.catch(() => {})
  await first.inserted
  let secondCount: number | null = null
  const second = sql.begin(async (tx) => {
    secondCount = (await tx.unsafe(insert, ['evt_1'])).count
  })
  await eventually(async () =>
    expect(
      await sql`select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
    ).toHaveLength(1),
  )
  expect(secondCount).toBeNull()
  first.end(failure)

  await expect(working).rejects.toBe(failure)
  await second
  expect(secondCount).toBe(1)
  expect((await sql.unsafe(insert, ['evt_1'])).count, 'a third').toBe(0)
  expect((await sql.unsafe(codeBlock('sql forget'))).count).toBe(0)
  await sql`update webhook_seen set received_at = now() - interval '36 days'`
  expect((await sql.unsafe(codeBlock('sql forget'))).count).toBe(1)
})

test('SQL, the inbox: keeps any body, once, and hands each to one worker', async () => {
  const { sql } = await openDatabase()
  await sql.unsafe(codeBlock('sql inbox'))
  const [store] = statementsOf('sql inbox-store') as [string]
  const [, take, done] = statementsOf('sql inbox-work') as [string, string, string]
  const body = Buffer.from('{"text":"\\u0000","a":1,"a":2}')

  expect((await sql.unsafe(store, ['evt_1', body])).count).toBe(1)
  expect((await sql.unsafe(store, ['evt_1', Buffer.from('other')])).count).toBe(0)
  await sql.unsafe(store, ['evt_2', body])
  await sql.begin(async (tx) => {
    expect(await tx.unsafe(take)).toMatchObject([{ webhook_id: 'evt_1', body }])
    expect(await sql.unsafe(take), 'another worker').toMatchObject([{ webhook_id: 'evt_2' }])
    await tx.unsafe(done, ['evt_1'])
  })
  expect(await sql.unsafe(take)).toMatchObject([{ webhook_id: 'evt_2' }])
})

/** A receiver of webhook.md in a process of its own, listening. Gone when the test has finished. */
async function startExample(
  language: Language,
  secret: string,
  document?: string,
): Promise<{ url: string; output(): string }> {
  const directory = await temporaryDirectory()
  await build(language, directory, document)
  const port = await freePort()
  const [command, ...args] = language.receiver as [string, ...string[]]
  const env = { ...environmentOf(directory), WEBHOOK_SECRET: secret, PORT: String(port) }
  const child = spawn(command, args, { cwd: directory, env })
  const ended = once(child, 'exit')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk
    })
  }
  const url = `http://127.0.0.1:${port}/hook`
  await eventually(async () => {
    expect(child.exitCode, output).toBeNull()
    await fetch(url, { method: 'POST' })
  }, 20_000)
  return { url, output: () => output }
}

/** How a receiver ends that gets this as its secret: its exit code, and the last line that it printed. */
async function endOf(language: Language, directory: string, secret: string | undefined) {
  const [command, ...args] = language.receiver as [string, ...string[]]
  const env: NodeJS.ProcessEnv = { ...environmentOf(directory), PORT: '0' }
  delete env.WEBHOOK_SECRET
  const child = spawn(command, args, {
    cwd: directory,
    env: secret === undefined ? env : { ...env, WEBHOOK_SECRET: secret },
    timeout: 20_000,
  })
  let complaint = ''
  child.stderr.on('data', (chunk) => {
    complaint += chunk
  })
  const [code] = await once(child, 'close')
  // Go's begins with the time.
  return { code, complaint: complaint.replace(/^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d /, '').trimEnd() }
}

/** A request with several ids. */
async function post(url: string, ids: string[], timestamp: string, signature: string, body: string) {
  const sent = request(url, {
    method: 'POST',
    headers: [
      ...['host', new URL(url).host, 'content-length', String(Buffer.byteLength(body)), 'connection', 'close'],
      ...ids.flatMap((id) => ['webhook-id', id]),
      ...['webhook-timestamp', timestamp, 'webhook-signature', signature],
    ],
  })
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  response.resume()
  return response.statusCode
}

const EVERYTHING = `${codeBlock('sh send')}${codeBlock('sh send-all')}`
const sendsIn = (script: string, status = '') =>
  script.split(/(?:^|; )send (?=\w{3} ')/m).filter((part, index) => index > 0 && part.startsWith(status)).length

/** Runs the example as it stands, with another secret and URL in its first lines; what it says. */
async function sendFromShell(url: string, secret: string, script = codeBlock('sh send')): Promise<string> {
  const mine = script.replace(/^SECRET=.*$/m, `SECRET='${secret}'`).replace(/^URL=.*$/m, `URL='${url}'`)
  return run(['bash', '-euo', 'pipefail', '-c', mine], await temporaryDirectory(), '', 60_000)
}

async function deliveriesOf(api: Api, event: string) {
  type Answer = { event: { deliveries: { nodes: { id: string; state: string; attemptsMade: number }[] } } }
  const answer = await api.ask<Answer>(
    'query ($event: ID!) { event(id: $event) { deliveries(first: 5) { nodes { id state attemptsMade } } } }',
    { event },
  )
  return answer.event.deliveries.nodes
}

function statementsOf(tag: string): string[] {
  return codeBlock(tag)
    .replace(/--.*$/gm, '')
    .split(';')
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
}

const linesWith = (output: string, text: string) => output.split('\n').filter((line) => line.includes(text)).length

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
