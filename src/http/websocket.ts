import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type ExecutionArgs, type ExecutionResult, GraphQLError, getOperationAST } from 'graphql'
import { handleProtocols, makeServer, type SubscribePayload } from 'graphql-ws'
import { type WebSocket, WebSocketServer } from 'ws'
import type { ErrorCode } from '../../schema/error-codes.ts'
import { presentError, refusal } from '../graphql/errors.ts'
import { refuseLongDocument } from '../graphql/limits.ts'
import type { Log, Trouble } from '../log.ts'
import type { CallerWatch } from '../tenants/watch.ts'
import { bearerToken } from './bearer.ts'
import { createCounts } from './counts.ts'
import { type Gate, networkOf } from './gate.ts'
import { type HttpLimits, SIZES } from './limits.ts'
import { pathOf } from './location.ts'
import { refuseAltered } from './messages.ts'
import { isAllowedOrigin } from './origins.ts'
import { type Connection, endWhenUnused, type Guest, type Protocol, serve, trust } from './socket.ts'
import type { Unread } from './unread.ts'
import { GRAPHQL_PATH, type Yoga } from './yoga.ts'

export type WebSockets = {
  /** Takes over a connection that asked to become a WebSocket. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
  close(): void
}

export type WebSocketOptions = {
  yoga: Yoga
  gate: Gate
  callers: Pick<CallerWatch, 'watch'>
  log: Log
  unavailable: Trouble
  introspection: boolean
  allowedOrigins: readonly string[]
  limits: HttpLimits
  unread: Unread
}

const GOING_AWAY = 1001

const SERVER_OPTIONS = {
  noServer: true,
  maxPayload: SIZES.message,
  maxFragments: SIZES.frames,
  perMessageDeflate: false,
  // Whoever is sent away and stays has been one of too many for long enough.
  closeTimeout: 3000,
}

/** `graphql-transport-ws` on the path of the API, through the same pipeline as HTTP. */
export function createWebSockets(options: WebSocketOptions): WebSockets {
  const { log, allowedOrigins, limits, unread } = options
  const sockets = new WebSocketServer({ ...SERVER_OPTIONS, handleProtocols })
  const places = createPlaces(limits)
  const protocol = createProtocol(options)
  sockets.on('connection', (socket: WebSocket, { socket: { remoteAddress } }: IncomingMessage) => {
    const address = remoteAddress ?? null
    const place = places.take(address, () => socket.terminate())
    serve(socket, { protocol, address, place, log, limits, unread })
  })
  return {
    upgrade(request, socket, head) {
      socket.on('error', () => socket.destroy())
      if (pathOf(request) !== GRAPHQL_PATH) {
        return refuse(socket, '404 Not Found', 'NOT_FOUND', `WebSockets are taken at ${GRAPHQL_PATH} only.`)
      }
      // A browser sends cookies to any server, but our keys are none: this only keeps unknown pages from trying theirs.
      if (!isAllowedOrigin(request.headers, allowedOrigins)) {
        const advice = 'Add it to POSTRIDER_ALLOWED_ORIGINS if it is one of yours.'
        return refuse(socket, '403 Forbidden', 'FORBIDDEN', `Pages of this origin may not use the API. ${advice}`)
      }
      const full = places.full(request.socket.remoteAddress ?? null)
      if (full !== null) return refuse(socket, '429 Too Many Requests', 'TOO_MANY_CONNECTIONS', full)
      sockets.handleUpgrade(request, socket, head, (opened) => sockets.emit('connection', opened, request))
    },
    close() {
      for (const socket of sockets.clients) socket.close(GOING_AWAY, 'The server is shutting down')
      sockets.close()
    },
  }
}

function refuse(socket: Duplex, status: string, code: ErrorCode, message: string): void {
  const body = JSON.stringify({ errors: [{ message, extensions: { code } }] })
  const head = `Connection: close\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}`
  // A socket that was to become a WebSocket has no timeout any more: half closed, it would stay for as long as its peer likes.
  socket.once('finish', () => socket.destroy())
  socket.end(`HTTP/1.1 ${status}\r\n${head}\r\n\r\n${body}`)
}

/**
 * How many WebSockets there are, those apart that have not shown a valid key yet: whoever has one does so at once, so the oldest
 * of too many others ends. Forty addresses without any key would take all places otherwise.
 */
function createPlaces({ sockets, socketsPerAddress, strangersPerAddress, strangers: mostStrangers }: HttpLimits) {
  const ofAddress = createCounts()
  const strangers = createCounts()
  // In the order in which they came.
  const waiting = new Set<() => void>()
  let all = 0
  return {
    /** Why there is no place for one more from this address, or null. */
    full(address: string | null): string | null {
      const from = networkOf(address)
      if (all >= sockets) return `At most ${sockets} WebSockets may be open in one process.`
      if (ofAddress.of(from) >= socketsPerAddress) {
        return `At most ${socketsPerAddress} WebSockets may be open from one address.`
      }
      if (strangers.of(from) < strangersPerAddress) return null
      return `At most ${strangersPerAddress} WebSockets from one address may be without a valid key.`
    },
    take(address: string | null, end: () => void) {
      const from = networkOf(address)
      let stranger = true
      all++
      ofAddress.add(from)
      strangers.add(from)
      waiting.add(end)
      const [oldest] = waiting
      if (waiting.size > mostStrangers && oldest) {
        waiting.delete(oldest)
        oldest()
      }
      const trusted = () => {
        if (stranger) strangers.remove(from)
        waiting.delete(end)
        stranger = false
      }
      return {
        trusted,
        leave() {
          all--
          ofAddress.remove(from)
          trusted()
        },
      }
    },
  }
}

type Pipeline = Pick<ReturnType<Yoga['getEnveloped']>, 'execute' | 'subscribe'>

function createProtocol(options: WebSocketOptions): Protocol {
  return makeServer<Record<string, unknown>, Guest>({
    connectionInitWaitTimeout: options.limits.initMs,
    execute: async (args: ExecutionArgs) => withPublicErrors(await (args.rootValue as Pipeline).execute(args)),
    subscribe: async (args: ExecutionArgs) => {
      const result = await (args.rootValue as Pipeline).subscribe(args)
      return Symbol.asyncIterator in result ? result : withPublicErrors(result)
    },
    onConnect: async (connection) => {
      const key = bearerOf(connection.connectionParams)
      if (key === null) return
      // A wrong one is told of by the first operation: many clients take a refusal here for a broken line, and try for ever.
      await admit(options, connection, key).catch(() => {})
    },
    // Whatever goes wrong here is an error of this one operation: thrown, it would close the socket for all of them.
    onSubscribe: async (connection, _id, payload) => {
      const requestId = randomUUID()
      try {
        return await begin(options, connection, payload, requestId)
      } catch (error) {
        const { log, unavailable, introspection } = options
        return [publicError(presentError(error, { requestId, log, unavailable, hideSuggestions: !introspection }))]
      }
    },
    // The operation is still counted while this is called.
    onComplete: (connection) => {
      setImmediate(() => endWhenUnused(connection))
    },
  })
}

/** Authenticates each operation anew, so that a revoked key is of no use at once, however old its socket is. */
async function begin(
  options: WebSocketOptions,
  connection: Connection,
  payload: SubscribePayload,
  requestId: string,
): Promise<ExecutionArgs | GraphQLError[]> {
  const { yoga, limits } = options
  const viewer = await admit(options, connection, keyOf(connection, payload))
  if (Object.keys(connection.subscriptions).length > limits.operationsPerSocket) {
    const message = `At most ${limits.operationsPerSocket} operations may be under way on one WebSocket.`
    throw refusal('TOO_MANY_OPERATIONS', message)
  }
  refuseAltered(payload)
  refuseLongDocument(payload.query)
  const { schema, parse, validate, contextFactory, execute, subscribe } = yoga.getEnveloped({
    viewer,
    requestId,
    operation: null,
  })
  const document = parse(payload.query)
  const errors = validate(schema, document)
  if (errors.length > 0) return errors.map(publicError)
  if (!getOperationAST(document, payload.operationName)) {
    throw refusal('BAD_REQUEST', 'The document has several operations, or none of that name: say which one is meant.')
  }
  return {
    schema,
    document,
    operationName: payload.operationName ?? null,
    variableValues: payload.variables ?? null,
    contextValue: await contextFactory(),
    rootValue: { execute, subscribe } satisfies Pipeline,
  }
}

async function admit({ gate, callers }: WebSocketOptions, connection: Connection, key: string | null) {
  const { viewer } = await gate.admit(key, connection.extra.address)
  trust(connection, viewer, callers)
  return viewer
}

/** The key of the operation, or of the connection: GraphiQL sends the contents of its Headers tab with each of them. */
function keyOf({ connectionParams }: Connection, { extensions }: SubscribePayload): string | null {
  return bearerOf(extensions?.headers) ?? bearerOf(connectionParams)
}

function bearerOf(params: unknown): string | null {
  const { authorization, Authorization } = (params ?? {}) as Record<string, unknown>
  return bearerToken(authorization ?? Authorization)
}

function withPublicErrors(result: ExecutionResult): ExecutionResult {
  return result.errors === undefined ? result : { ...result, errors: result.errors.map(publicError) }
}

/** Without what yoga notes for HTTP. */
function publicError(error: unknown): GraphQLError {
  if (!(error instanceof GraphQLError)) return refusal('INTERNAL', 'Something went wrong on our side.')
  const { http: _, ...extensions } = error.extensions
  return new GraphQLError(error.message, {
    nodes: error.nodes ?? null,
    source: error.source ?? null,
    positions: error.positions ?? null,
    path: error.path ?? null,
    extensions,
  })
}
