import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createNetServer, type Socket } from 'node:net'

/** A request as it came in; headers raw, in order and case, and the body byte for byte. */
export type ReceivedRequest = {
  method: string
  path: string
  /** By lower-case name; the last of a repeated header. */
  headers: Record<string, string>
  rawHeaders: [string, string][]
  body: Buffer
  receivedAt: Date
}

/** What to answer: a status, or more of it. */
export type Answer =
  | number
  | {
      status?: number
      headers?: Record<string, string | string[]>
      body?: string | Buffer
      /** Waits before it answers. */
      delayMs?: number
      /** Never answers; the connection stays open until `close`. */
      hang?: boolean
      /** Resets the connection instead of answering. */
      reset?: boolean
    }

export type Receiver = {
  /** `http://127.0.0.1:<port>/hook` */
  url: string
  port: number
  requests: ReceivedRequest[]
  /** How many connections were ever accepted, to tell a reused socket from a new one. */
  connections(): number
  /** One answer per request in this order, the last for all that follow; or a function of the request. */
  answers(
    ...answers: [Answer, ...Answer[]] | [(request: ReceivedRequest, index: number) => Answer | Promise<Answer>]
  ): void
  /** Resolves as soon as `count` requests are in, at once if they are; rejects after the deadline, saying how many came. */
  waitForRequests(count: number, deadlineMs?: number): Promise<ReceivedRequest[]>
  close(): Promise<void>
}

type Waiter = { count: number; resolve: () => void }

/** A real HTTP server on loopback that answers as it is told, 200 at first. */
export async function startReceiver(): Promise<Receiver> {
  const requests: ReceivedRequest[] = []
  const waiters = new Set<Waiter>()
  let answerFor: (request: ReceivedRequest, index: number) => Answer | Promise<Answer> = () => 200
  let connections = 0

  const server = createServer(async (incoming, response) => {
    const request = await readRequest(incoming).catch(() => null)
    // Gone before it was whole: not a request that anybody could wait for.
    if (request === null) return
    const index = requests.push(request) - 1
    for (const waiter of waiters) if (requests.length >= waiter.count) waiter.resolve()
    await answerWith(await answerFor(request, index), response)
  })
  server.on('connection', () => connections++)
  server.keepAliveTimeout = 60_000
  const port = await listen(server)

  return {
    url: `http://127.0.0.1:${port}/hook`,
    port,
    requests,
    connections: () => connections,
    answers(...answers) {
      const [first] = answers
      if (typeof first === 'function') {
        answerFor = first
        return
      }
      const from = requests.length
      answerFor = (_, index) => answers[Math.min(index - from, answers.length - 1)] as Answer
    },
    waitForRequests: (count, deadlineMs = 5000) => waitFor(requests, waiters, count, deadlineMs),
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

export type RawReceiver = { url: string; port: number; sockets: Socket[]; close(): Promise<void> }

/** A TCP server on loopback for answers that no HTTP server would give: `handler` gets each connection's bare socket. */
export async function startRawReceiver(handler: (socket: Socket, index: number) => void): Promise<RawReceiver> {
  const sockets: Socket[] = []
  const server = createNetServer((socket) => {
    socket.on('error', () => {})
    handler(socket, sockets.push(socket) - 1)
  })
  const port = await listen(server)
  return {
    url: `http://127.0.0.1:${port}/hook`,
    port,
    sockets,
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

/** Calls `respond` once per request that ends on a raw socket: after each body of the length its header announces. */
export function onRawRequest(socket: Socket, respond: (index: number) => void): void {
  let pending = Buffer.alloc(0)
  let index = 0
  socket.on('data', (chunk) => {
    pending = Buffer.concat([pending, chunk])
    for (;;) {
      const headEnd = pending.indexOf('\r\n\r\n')
      if (headEnd === -1) return
      const length = /content-length: (\d+)/i.exec(pending.toString('latin1', 0, headEnd))?.[1] ?? '0'
      const end = headEnd + 4 + Number(length)
      if (pending.length < end) return
      pending = pending.subarray(end)
      respond(index++)
    }
  })
}

async function readRequest(incoming: IncomingMessage): Promise<ReceivedRequest> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  const rawHeaders: [string, string][] = []
  for (let i = 0; i + 1 < incoming.rawHeaders.length; i += 2) {
    rawHeaders.push([incoming.rawHeaders[i] as string, incoming.rawHeaders[i + 1] as string])
  }
  return {
    method: incoming.method as string,
    path: incoming.url as string,
    headers: Object.fromEntries(rawHeaders.map(([name, value]) => [name.toLowerCase(), value])),
    rawHeaders,
    body: Buffer.concat(chunks),
    receivedAt: new Date(),
  }
}

async function answerWith(answer: Answer, response: ServerResponse): Promise<void> {
  const {
    status = 200,
    headers = {},
    body = '',
    delayMs,
    hang,
    reset,
  } = typeof answer === 'number' ? { status: answer } : answer
  if (delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, delayMs))
  if (hang) return
  if (reset) {
    response.socket?.resetAndDestroy()
    return
  }
  response.writeHead(status, headers).end(body)
}

async function waitFor(requests: ReceivedRequest[], waiters: Set<Waiter>, count: number, deadlineMs: number) {
  if (requests.length >= count) return requests
  return new Promise<ReceivedRequest[]>((resolve, reject) => {
    const timer = setTimeout(() => {
      waiters.delete(waiter)
      reject(new Error(`waited ${deadlineMs} ms for ${count} requests, ${requests.length} came`))
    }, deadlineMs)
    const waiter: Waiter = {
      count,
      resolve: () => {
        clearTimeout(timer)
        waiters.delete(waiter)
        resolve(requests)
      },
    }
    waiters.add(waiter)
  })
}

async function listen(
  server: { listen(port: number, host: string): unknown; address(): unknown } & NodeJS.EventEmitter,
) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
