import { openSync, writeSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Webhook } from 'standardwebhooks'
import type { Receipt } from './history.ts'
import { ENDPOINTS, SECRET } from './scenario.ts'

/** A process: writes down what comes, and what it is going to answer, before it answers. Killed, it has written what it has. */
const [port, file] = process.argv.slice(2)
const journal = openSync(file as string, 'a')
const verifier = new Webhook(SECRET)
let behaves = false

const server = createServer(async (request, response) => {
  // Gone before it was whole: nothing was received.
  const body = await bodyOf(request).catch(() => null)
  if (body !== null) receive(request, response, body)
})
server.keepAliveTimeout = 60_000
server.listen(Number(port), '127.0.0.1', 1024, () => process.send?.('ready'))
process.on('message', () => {
  behaves = true
})
process.on('disconnect', () => process.exit())

function receive({ url, headers }: IncomingMessage, response: ServerResponse, body: string): void {
  const endpoint = (url as string).slice(1)
  const answer = behaves ? 'ok' : answerOf(endpoint)
  const receipt: Receipt = {
    endpoint,
    eventId: String(headers['webhook-id']),
    at: Date.now(),
    answer,
    body,
    genuine: isGenuine(body, headers),
  }
  writeSync(journal, `${JSON.stringify(receipt)}\n`)
  if (answer === 'silence') return
  const respond = () => response.writeHead(answer === 'ok' ? 204 : 500).end()
  setTimeout(respond, Math.random() * mannersOf(endpoint).slowMs)
}

const STRANGER = { failing: 0, silent: 0, slowMs: 0 }
const mannersOf = (endpoint: string) => ENDPOINTS.find(({ name }) => name === endpoint) ?? STRANGER

function answerOf(endpoint: string): Receipt['answer'] {
  const { failing, silent } = mannersOf(endpoint)
  const chance = Math.random()
  return chance < silent ? 'silence' : chance < silent + failing ? 'failure' : 'ok'
}

function isGenuine(body: string, headers: IncomingMessage['headers']): boolean {
  try {
    verifier.verify(body, headers as Record<string, string>, { jsonParse: false })
    return true
  } catch {
    return false
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}
