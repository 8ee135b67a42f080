import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type ExecutionArgs, GraphQLError } from 'graphql'
import { type Context as ConnectionContext, handleProtocols, makeServer, type SubscribePayload } from 'graphql-ws'
import { type WebSocket, WebSocketServer } from 'ws'
import { reviver } from '../events/payload.ts'
import type { Capabilities } from '../graphql/capabilities.ts'
import { unauthenticated } from '../graphql/errors.ts'
import { refuseLongDocument } from '../graphql/limits.ts'
import type { Log } from '../log.ts'
import { bearerToken } from './credentials.ts'
import { pathOf } from './location.ts'
import { isAllowedOrigin } from './origins.ts'
import { GRAPHQL_PATH, type Yoga } from './yoga.ts'

/** `deadline` ends the socket of a client that never shows a valid key. */
type Socket = { deadline: NodeJS.Timeout; trusted: boolean; address: string | null }
type Connection = ConnectionContext<Record<string, unknown>, Socket>

export type WebSockets = {
  /** Takes over a connection that asked to become a WebSocket. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
  close(): void
}

export type WebSocketOptions = { yoga: Yoga; capabilities: Capabilities; log: Log; allowedOrigins: readonly string[] }

// Parsed with a reviver, 5 MiB block the event loop for a second; large batches go over HTTP.
const MOST_MESSAGE_BYTES = 1024 * 1024
const INIT_TIMEOUT_MS = 10_000
const PING_MS = 12_000
const MOST_OPERATIONS_PER_SOCKET = 100
const MOST_UNTRUSTED_BYTES = 16 * 1024
const UNAUTHORIZED = 4401
const GOING_AWAY = 1001

/** `graphql-transport-ws` on the path of the API, through the same pipeline as HTTP. */
export function createWebSockets(options: WebSocketOptions): WebSockets {
  const { log, allowedOrigins } = options
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MOST_MESSAGE_BYTES,
    handleProtocols,
    perMessageDeflate: false,
  })
  const protocol = createProtocol(options)
  sockets.on('connection', (socket: WebSocket, { socket: { remoteAddress } }: IncomingMessage) =>
    serve(protocol, socket, remoteAddress ?? null, log),
  )
  return {
    upgrade(request, socket, head) {
      socket.on('error', () => socket.destroy())
      if (pathOf(request) !== GRAPHQL_PATH) return refuse(socket, '404 Not Found')
      // A browser sends cookies to any server, but our keys are none: this only keeps unknown pages from trying theirs.
      if (!isAllowedOrigin(request.headers, allowedOrigins)) return refuse(socket, '403 Forbidden')
      sockets.handleUpgrade(request, socket, head, (opened) => sockets.emit('connection', opened, request))
    },
    close() {
      for (const socket of sockets.clients) socket.close(GOING_AWAY, 'The server is shutting down')
      sockets.close()
    },
  }
}

function refuse(socket: Duplex, status: string): void {
  // A socket that was to become a WebSocket has no timeout any more: half closed, it would stay for as long as its peer likes.
  socket.once('finish', () => socket.destroy())
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}

type Protocol = ReturnType<typeof createProtocol>

function createProtocol({ yoga, capabilities, log }: WebSocketOptions) {
  return makeServer<Record<string, unknown>, Socket>({
    connectionInitWaitTimeout: INIT_TIMEOUT_MS,
    jsonMessageReviver: reviver,
    execute: (args: ExecutionArgs) => (args.rootValue as Pipeline).execute(args),
    subscribe: (args: ExecutionArgs) => (args.rootValue as Pipeline).subscribe(args),
    // Whatever goes wrong here is an error of this one operation: thrown, it would close the socket for all of them.
    onSubscribe: async (connection, _id, payload) => {
      try {
        return await begin(yoga, capabilities, connection, payload)
      } catch (error) {
        if (!(error instanceof GraphQLError)) log.error({ err: error }, 'An operation over WebSocket could not begin')
        return [publicError(error)]
      }
    },
  })
}

type Pipeline = Pick<ReturnType<Yoga['getEnveloped']>, 'execute' | 'subscribe'>

/** Authenticates each operation anew, so that a revoked key is of no use at once, however old its socket is. */
async function begin(
  yoga: Yoga,
  capabilities: Capabilities,
  connection: Connection,
  payload: SubscribePayload,
): Promise<ExecutionArgs | GraphQLError[]> {
  const key = keyOf(connection, payload)
  const viewer = key === null ? null : await capabilities.authenticate(key, connection.extra.address)
  if (viewer === null) return [unauthenticated()]
  clearTimeout(connection.extra.deadline)
  connection.extra.trusted = true
  if (Object.keys(connection.subscriptions).length > MOST_OPERATIONS_PER_SOCKET) {
    const message = `At most ${MOST_OPERATIONS_PER_SOCKET} operations may be under way on one socket.`
    return [new GraphQLError(message, { extensions: { code: 'TOO_MANY_OPERATIONS' } })]
  }
  refuseLongDocument(payload.query)
  const { schema, parse, validate, contextFactory, execute, subscribe } = yoga.getEnveloped({
    viewer,
    requestId: randomUUID(),
    operation: null,
  })
  const document = parse(payload.query)
  const errors = validate(schema, document)
  if (errors.length > 0) return errors.map(publicError)
  return {
    schema,
    document,
    operationName: payload.operationName ?? null,
    variableValues: payload.variables ?? null,
    contextValue: await contextFactory(),
    rootValue: { execute, subscribe } satisfies Pipeline,
  }
}

/** The key of the connection, or of the operation: GraphiQL sends the contents of its Headers tab with each of them. */
function keyOf({ connectionParams = {} }: Connection, { extensions }: SubscribePayload): string | null {
  const ofOperation = extensions?.headers as Record<string, unknown> | undefined
  for (const source of [ofOperation, connectionParams]) {
    const token = bearerToken(source?.authorization ?? source?.Authorization)
    if (token !== null) return token
  }
  return null
}

/** Without what yoga notes for HTTP. */
function publicError(error: unknown): GraphQLError {
  if (!(error instanceof GraphQLError)) {
    return new GraphQLError('Something went wrong on our side.', { extensions: { code: 'INTERNAL' } })
  }
  const { http: _, ...extensions } = error.extensions
  return new GraphQLError(error.message, {
    nodes: error.nodes ?? null,
    source: error.source ?? null,
    positions: error.positions ?? null,
    extensions,
  })
}

/** What graphql-ws does for `ws` itself, but for its talking to the console whenever a client misbehaves. */
function serve(protocol: Protocol, socket: WebSocket, address: string | null, log: Log): void {
  const deadline = setTimeout(() => socket.close(UNAUTHORIZED, 'No valid API key was shown'), INIT_TIMEOUT_MS)
  const extra: Socket = { deadline, trusted: false, address }
  const closed = protocol.opened(
    {
      protocol: socket.protocol,
      send: (text) =>
        new Promise((resolve, reject) => {
          if (socket.readyState !== socket.OPEN) return resolve()
          socket.send(text, (error) => (error ? reject(error) : resolve()))
        }),
      close: (code, reason) => socket.close(code, reason),
      onMessage: (handle) =>
        socket.on('message', (message: Buffer) => {
          // Before a key was shown, what is long enough to cost something is not even parsed.
          if (!extra.trusted && message.length > MOST_UNTRUSTED_BYTES)
            return socket.close(UNAUTHORIZED, 'No valid API key was shown')
          handle(String(message)).catch((err: unknown) => {
            log.debug({ err }, 'A message over WebSocket could not be handled')
            socket.close(4500, 'Internal server error')
          })
        }),
    },
    extra,
  )
  const stopPinging = keepAlive(socket)
  socket.on('error', (err) => log.debug({ err }, 'A WebSocket broke'))
  socket.on('close', (code, reason) => {
    clearTimeout(deadline)
    stopPinging()
    closed(code, String(reason)).catch((err: unknown) => log.debug({ err }, 'A WebSocket was not closed properly'))
  })
}

/** A peer that vanished without a word is noticed by its silence. */
function keepAlive(socket: WebSocket): () => void {
  let answered = true
  socket.on('pong', () => {
    answered = true
  })
  const timer = setInterval(() => {
    if (!answered) return socket.terminate()
    answered = false
    socket.ping()
  }, PING_MS)
  return () => clearInterval(timer)
}
