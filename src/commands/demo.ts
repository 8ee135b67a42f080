import { createHmac, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { createClient } from 'graphql-ws'
import { createApp } from '../app.ts'
import { readConfig } from '../config.ts'
import { createLog } from '../log.ts'

/**
 * `npm run demo`: Postrider in ten seconds. A real server on a scratch data directory, a receiver that refuses every first
 * attempt, and a client that uses nothing but the public API: HTTP and WebSocket.
 */

const EVENTS = [
  { type: 'invoice.created', payload: { invoice: 'in_1', amount: '49.00', currency: 'EUR' } },
  { type: 'invoice.sent', payload: { invoice: 'in_1', to: 'ada@example.com' } },
  { type: 'invoice.paid', payload: { invoice: 'in_1', method: 'card' } },
  { type: 'invoice.archived', payload: { invoice: 'in_1' } },
]
const RETRY_DELAYS_SECONDS = [1, 2]
const BETWEEN_EVENTS_MS = 1500
const PATIENCE_MS = 20_000
// What Standard Webhooks tells receivers to refuse.
const MOST_SECONDS_OFF = 300

class DemoFailed extends Error {}

type Receiver = {
  url: string
  /** The secret to verify with, known once the endpoint exists. */
  trust(secret: string): void
  /** Whether the signature of this attempt at this event was right. */
  verified(eventId: string, attempt: number): boolean
  close(): Promise<void>
}

type Api = { url: string; key: string }

type Attempt = {
  eventId: string
  eventType: string
  number: number
  startedAt: string
  durationMs: number
  succeeded: boolean
  errorClass: string | null
  response: { status: number } | null
}

async function demo(): Promise<void> {
  const interrupted = untilInterrupted()
  // Open to pass through, because as root the database runs as another user.
  const scratch = await mkdtemp(join(tmpdir(), 'postrider-demo-'))
  await chmod(scratch, 0o711)
  const config = readConfig({
    PORT: '0',
    POSTRIDER_DATA_DIR: join(scratch, 'data'),
    POSTRIDER_ALLOW_NETWORKS: '127.0.0.0/8',
    POSTRIDER_LOG_LEVEL: 'error',
  })
  const app = createApp(config, createLog(config.logLevel))
  const receiver = await startReceiver()
  const starting = app.start()
  try {
    say(`\n${bold('Postrider')} starts, with a database of its own …`)
    const { url, firstKey } = await Promise.race([starting, interrupted])
    await Promise.race([tellTheStory({ url: String(url), key: String(firstKey) }, receiver), interrupted])
  } catch (error) {
    const reason = error instanceof DemoFailed ? error.message : error instanceof Error ? error.stack : String(error)
    process.stderr.write(`\n${red('✗')} ${reason}\n`)
    process.exitCode = 1
  } finally {
    await starting.catch(() => {})
    await app.stop(5000)
    await receiver.close()
    await rm(scratch, { recursive: true, force: true })
  }
  // An open socket must not keep a story going that is told.
  process.exit()
}

async function tellTheStory(api: Api, receiver: Receiver): Promise<void> {
  say(`  The API and GraphiQL are at ${api.url}/graphql`)
  say(`  A receiver listens at ${receiver.url}: it verifies every signature,`)
  say('  and answers 503 to the first attempt at each event, on purpose.')

  const { endpoint, secret } = await createEndpoint(api, receiver.url)
  receiver.trust(secret)
  say(`\n${bold('endpointCreate')} made ${endpoint.id}: it wants "invoice.*",`)
  say(`  and is tried again after ${RETRY_DELAYS_SECONDS.join(', then ')} s (± 20 %).`)

  const { feedCursor } = await ask<{ feedCursor: string }>(api, 'query { feedCursor }')
  const waiting = new Set<string>()
  const following = follow(api, feedCursor, receiver, waiting)
  say(`${bold('deliveryAttempts')} is followed over WebSocket from here on.`)
  say(`${bold('eventPublish')} is called ${EVENTS.length} times.\n`)
  say(dim('  time          event              attempt   answer   took     signature'))
  const publishing = publishAll(api, waiting)
  // Publishing may fail first, and following then never ends.
  const [attempts] = await Promise.race([
    Promise.all([following, publishing]),
    wait(EVENTS.length * BETWEEN_EVENTS_MS + PATIENCE_MS, null, { ref: false }).then(() => {
      throw new DemoFailed(`${waiting.size} of ${EVENTS.length} events did not arrive in time.`)
    }),
  ])
  say(`\n${green('✓')} All ${EVENTS.length} events arrived, in ${attempts} attempts, each one signed and verified.`)
  say('  Now with a receiver of your own: POSTRIDER_ALLOW_NETWORKS=127.0.0.0/8 npm start\n')
}

async function createEndpoint(api: Api, url: string): Promise<{ endpoint: { id: string }; secret: string }> {
  const query = `mutation ($input: EndpointCreateInput!) {
    endpointCreate(input: $input) { endpoint { id } secret userErrors { code message path } }
  }`
  const input = { url, eventTypes: ['invoice.*'], retry: { delaysSeconds: RETRY_DELAYS_SECONDS } }
  type Answer = { endpointCreate: { endpoint: { id: string }; secret: string; userErrors: unknown[] } }
  const { endpointCreate } = await ask<Answer>(api, query, { input })
  refuseErrors('endpointCreate', endpointCreate.userErrors)
  return endpointCreate
}

async function publishAll(api: Api, waiting: Set<string>): Promise<void> {
  const query = `mutation ($input: EventPublishInput!) {
    eventPublish(input: $input) { event { id acceptedAt } userErrors { code message path } }
  }`
  type Answer = { eventPublish: { event: { id: string; acceptedAt: string }; userErrors: unknown[] } }
  // None is taken for the last one while others are to come.
  for (const { type } of EVENTS) waiting.add(type)
  for (const [index, input] of EVENTS.entries()) {
    if (index > 0) await wait(BETWEEN_EVENTS_MS)
    const { eventPublish } = await ask<Answer>(api, query, { input })
    refuseErrors('eventPublish', eventPublish.userErrors)
    say(
      `  ${timeOf(eventPublish.event.acceptedAt)}  ${input.type.padEnd(17)}  ${dim(`published, ${eventPublish.event.id}`)}`,
    )
  }
}

/** Shows each attempt as it comes; ends when nothing is waited for any more, with how many there were. */
async function follow(api: Api, after: string, receiver: Receiver, waiting: Set<string>): Promise<number> {
  const query = `subscription ($after: String!) {
    deliveryAttempts(after: $after) {
      ... on AttemptRecorded {
        attempt { eventId eventType number startedAt durationMs succeeded errorClass response { status } }
      }
    }
  }`
  const client = createClient({
    url: `${api.url.replace('http', 'ws')}/graphql`,
    connectionParams: { authorization: `Bearer ${api.key}` },
    retryAttempts: 0,
  })
  let attempts = 0
  try {
    for await (const { data, errors } of client.iterate<{ deliveryAttempts: { attempt?: Attempt } }>({
      query,
      variables: { after },
    })) {
      if (errors) throw new DemoFailed(`deliveryAttempts failed: ${errors.map(({ message }) => message).join('; ')}`)
      const attempt = data?.deliveryAttempts.attempt
      if (!attempt) continue
      attempts++
      const verified = receiver.verified(attempt.eventId, attempt.number)
      say(lineOf(attempt, verified))
      if (!verified) throw new DemoFailed('The receiver could not verify the signature of this attempt.')
      if (attempt.succeeded) waiting.delete(attempt.eventType)
      if (waiting.size === 0) return attempts
    }
  } finally {
    await client.dispose()
  }
  throw new DemoFailed('The live feed ended before everything had arrived.')
}

function lineOf(attempt: Attempt, verified: boolean): string {
  const { eventType, number, startedAt, durationMs, succeeded, errorClass, response } = attempt
  const answer = String(response?.status ?? errorClass).padEnd(6)
  const isLast = number > RETRY_DELAYS_SECONDS.length
  const fate = succeeded ? green('delivered') : isLast ? red('failed for good') : dim('will be tried again')
  return [
    `  ${timeOf(startedAt)}  ${eventType.padEnd(17)}  ${String(number).padStart(7)}`,
    `   ${succeeded ? green(answer) : red(answer)}   ${`${durationMs} ms`.padEnd(6)}`,
    `   ${verified ? green('verified ✓') : red('wrong ✗')}  ${fate}`,
  ].join('')
}

const timeOf = (moment: string) => moment.slice(11, 23)

async function ask<T>({ url, key }: Api, query: string, variables: object = {}): Promise<T> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({ query, variables }),
  })
  const { data, errors } = (await response.json()) as { data?: T; errors?: { message: string }[] }
  if (errors || !data) throw new DemoFailed(`The API answered ${response.status}: ${JSON.stringify(errors)}`)
  return data
}

function refuseErrors(mutation: string, userErrors: unknown[]): void {
  if (userErrors.length > 0) throw new DemoFailed(`${mutation} was refused: ${JSON.stringify(userErrors)}`)
}

/** What a receiver does in real life, but for its refusing every first attempt. */
async function startReceiver(): Promise<Receiver> {
  let secret = ''
  const verified = new Set<string>()
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const genuine = isGenuine(request.headers, Buffer.concat(chunks), secret)
    const { 'webhook-id': id, 'webhook-attempt': attempt } = request.headers
    if (genuine) verified.add(`${id} ${attempt}`)
    response.writeHead(!genuine ? 401 : attempt === '1' ? 503 : 204).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    trust(given) {
      secret = given
    },
    verified: (eventId, attempt) => verified.has(`${eventId} ${attempt}`),
    async close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** Standard Webhooks: HMAC-SHA256 over id, time and the body as it came, compared in constant time. */
function isGenuine(headers: IncomingMessage['headers'], body: Buffer, secret: string): boolean {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures } = headers
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > MOST_SECONDS_OFF) return false
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
  const expected = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest()
  return String(signatures)
    .split(' ')
    .map((signature) => Buffer.from(signature.replace(/^v1,/, ''), 'base64'))
    .some((given) => given.length === expected.length && timingSafeEqual(given, expected))
}

/** Rejects at the first Ctrl-C. Further ones are ignored: cleaning up takes only a moment. */
function untilInterrupted(): Promise<never> {
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.on(signal, () => reject(new DemoFailed('Interrupted.')))
  })
  interrupted.catch(() => {})
  return interrupted
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

function paint(code: number, text: string): string {
  return process.stdout.isTTY ? `\u001b[${code}m${text}\u001b[0m` : text
}
const bold = (text: string) => paint(1, text)
const dim = (text: string) => paint(2, text)
const red = (text: string) => paint(31, text)
const green = (text: string) => paint(32, text)

await demo()
