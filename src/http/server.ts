import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { GraphQLError, GraphQLSchema } from 'graphql'
import type { Config } from '../config.ts'
import type { Capabilities } from '../graphql/capabilities.ts'
import { presentError } from '../graphql/errors.ts'
import { refuseLongDocument } from '../graphql/limits.ts'
import { createTrouble, type Log, type Trouble } from '../log.ts'
import { isUnavailable, Unavailable } from '../postgres/unavailable.ts'
import type { CallerWatch } from '../tenants/watch.ts'
import { answerError, answerGraphQLError, answerJson } from './answer.ts'
import { bearerToken } from './bearer.ts'
import { BadRequest, readParams } from './body.ts'
import { type Connections, watchConnections } from './connections.ts'
import { createGate, type Gate, type Quota, TooManyOperations } from './gate.ts'
import { type GraphiqlPage, renderGraphiql } from './graphiql.ts'
import { answersKeys, createKeyDiscovery, type KeyDiscovery } from './key-discovery.ts'
import { HTTP_LIMITS, type HttpLimits, SIZES } from './limits.ts'
import { type HttpServer, listening } from './listening.ts'
import { pathOf } from './location.ts'
import { answerCors } from './origins.ts'
import { answerHealth, createReadiness, type Readiness } from './readiness.ts'
import { createStreams } from './streams.ts'
import { createUnread } from './unread.ts'
import { createWebSockets } from './websocket.ts'
import { createPipeline, GRAPHQL_PATH, type Yoga } from './yoga.ts'

export type HttpServerOptions = {
  config: Pick<Config, 'host' | 'port' | 'allowedOrigins' | 'introspection' | 'graphiql' | 'rateLimit'>
  capabilities: Capabilities
  graphqlSchema: GraphQLSchema
  log: Log
  callers: CallerWatch
  /** Resolves when the database answers. */
  ready(): Promise<unknown>
  /** What is other than usual: tests do not wait for a minute. */
  limits?: Partial<HttpLimits>
}

const CLOSE_WITHIN_MS = 5000

/** The server of the API: nothing listens before `listen`. */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { config, capabilities, graphqlSchema, log, callers } = options
  const { allowedOrigins, introspection, rateLimit } = config
  const limits = { ...HTTP_LIMITS, ...options.limits }
  const unavailable = createTrouble(log, {
    failing: 'Requests cannot be answered: the database is unavailable',
    working: 'The database is available again',
    level: 'warn',
  })
  const gate = createGate({ authenticate: capabilities.authenticate, rateLimit, limits })
  const streams = createStreams(limits)
  const yoga = createPipeline({
    schema: graphqlSchema,
    capabilities,
    log,
    unavailable,
    introspection,
    streams,
    callers,
  })
  const unread = createUnread(limits.unreadBytesInAll)
  const webSockets = createWebSockets({
    ...{ yoga, gate, callers, log, unavailable, introspection, allowedOrigins, limits, unread },
  })
  const graphiql = config.graphiql ? once(renderGraphiql) : null
  const server = createServer({
    connectionsCheckingInterval: limits.checkEveryMs,
    maxHeaderSize: SIZES.headers,
    // Other protocols are no reason to refuse: the HTTP client of Java offers h2c with every request.
    shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === 'websocket',
  })
  const connections = watchConnections(server, limits, unread)
  const readiness = createReadiness({ ready: options.ready, unavailable })
  const keys = createKeyDiscovery(capabilities.secrets.publishedKeys)
  const site: Site = { ...options, yoga, gate, unavailable, connections, readiness, graphiql, keys }
  server.on('request', (request, response) => {
    connections.inTurn(request, response, () => {
      answer(site, request, response).catch((err: unknown) => answerFault(site, response, err))
    })
  })
  // An answer may last as long as a live feed does, but it must be taken: a socket on which nothing moves is closed. Live feeds
  // have their heartbeats.
  server.headersTimeout = limits.headersMs
  server.requestTimeout = limits.requestMs
  server.keepAliveTimeout = limits.silenceMs + 5000
  server.timeout = limits.silenceMs
  // The body is asked for when it is known to be welcome.
  server.on('checkContinue', (request, response) => server.emit('request', request, response))
  server.on('upgrade', (request, socket, head) => webSockets.upgrade(request, socket, head))
  return {
    ...listening(server, config),
    async close() {
      if (server.listening) await readiness.leave()
      webSockets.close()
      if (server.listening) await connections.close(CLOSE_WITHIN_MS)
    },
  }
}

function answerFault({ unavailable, log }: Site, response: ServerResponse, err: unknown): void {
  if (isUnavailable(err)) {
    unavailable.failed(err)
    answerError(response, 503, new Unavailable(err), { 'retry-after': '1' })
  } else {
    log.error({ err }, 'A request failed')
    answerError(response, 500, { code: 'INTERNAL', message: 'Something went wrong on our side.' })
  }
}

type Site = HttpServerOptions & {
  yoga: Yoga
  gate: Gate
  unavailable: Trouble
  connections: Connections
  readiness: Readiness
  graphiql: (() => Promise<GraphiqlPage>) | null
  keys: KeyDiscovery
}

async function answer(site: Site, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = pathOf(request)
  response.setHeader('x-content-type-options', 'nosniff')
  // So that a client that keeps its connection opens the next one elsewhere, and is not cut off in the middle of a request.
  if (site.readiness.leaving()) response.setHeader('connection', 'close')
  if (path === GRAPHQL_PATH) return answerGraphql(site, request, response)
  if (path === '/' && site.graphiql && request.headers.accept?.includes('text/html')) {
    response.writeHead(302, { location: GRAPHQL_PATH }).end()
    return
  }
  if (answerHealth(path, site.readiness, response)) return
  if (await answersKeys(path, site.keys, request, response)) return
  const message = `There is nothing at ${path.slice(0, 100)}. The API and GraphiQL are at ${GRAPHQL_PATH}.`
  answerJson(response, 404, { errors: [{ message, extensions: { code: 'NOT_FOUND' } }] })
}

async function answerGraphql(site: Site, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { config, gate, yoga } = site
  if (answerCors(request, response, config.allowedOrigins)) return
  if (request.method !== 'GET' && request.method !== 'POST') {
    return answerError(
      response,
      405,
      { code: 'BAD_REQUEST', message: 'Use POST, or GET for queries.' },
      { allow: 'GET, POST' },
    )
  }
  // Yoga makes a URL of it.
  if (!URL.canParse(`http://${request.headers.host}`)) {
    return answerError(response, 400, { code: 'BAD_REQUEST', message: 'The Host header is not a host.' })
  }
  if (request.method === 'GET' && request.headers.accept?.includes('text/html') && site.graphiql) {
    return answerGraphiql(await site.graphiql(), request, response)
  }
  const requestId = randomUUID()
  response.setHeader('x-request-id', requestId)
  try {
    // Before the body is read, let alone parsed: without a valid key nothing is told, and nothing is done.
    const key = bearerToken(request.headers.authorization)
    const address = request.socket.remoteAddress ?? null
    const { viewer: admitted, quota } = await gate.admit(key, address)
    const admittedAt = performance.now()
    site.unavailable.over()
    tellQuota(response, quota)
    if (request.headers.expect !== undefined && request.httpVersion === '1.1') response.writeContinue()
    const operation = await readParams(request)
    // A body may be held open for a minute, in which its key was revoked.
    const isLate = performance.now() - admittedAt > 1000
    const viewer = isLate ? await gate.again(key, address) : admitted
    refuseLongDocument(operation.query)
    const isLive = (ended: () => void) => site.connections.isLive(response, ended)
    await yoga(request, response, { viewer, requestId, operation, isLive })
  } catch (error) {
    if (error instanceof TooManyOperations) tellQuota(response, error.quota)
    if (error instanceof BadRequest) return answerError(response, error.status, error)
    const { unavailable, log } = site
    return answerRefusal(
      response,
      presentError(error, { requestId, log, unavailable, hideSuggestions: !config.introspection }),
    )
  }
}

/** As the rate limit headers of many APIs: https://www.ietf.org/archive/id/draft-polli-ratelimit-headers-05.html. */
function tellQuota(response: ServerResponse, quota: Quota): void {
  if (quota === null) return
  response.setHeader('ratelimit-limit', quota.limit)
  response.setHeader('ratelimit-remaining', quota.left)
  // In seconds, until all of them can be used again.
  response.setHeader('ratelimit-reset', Math.ceil((quota.limit - quota.left) / quota.limit))
}

function answerRefusal(response: ServerResponse, error: GraphQLError): void {
  const [status, headers] = REFUSALS[String(error.extensions.code)] ?? [400, () => ({})]
  answerGraphQLError(response, status, error, headers(error.extensions))
}

const REFUSALS: Record<string, [number, (extensions: Record<string, unknown>) => Record<string, string>]> = {
  UNAVAILABLE: [503, () => ({ 'retry-after': '1' })],
  INTERNAL: [500, () => ({})],
  UNAUTHENTICATED: [401, () => ({ 'www-authenticate': 'Bearer' })],
  // In whole seconds, as HTTP has it.
  RATE_LIMITED: [429, ({ retryAfterMs }) => ({ 'retry-after': String(Math.ceil(Number(retryAfterMs) / 1000)) })],
}

function answerGraphiql(page: GraphiqlPage, request: IncomingMessage, response: ServerResponse): void {
  const zipped = request.headers['accept-encoding']?.includes('gzip') ?? false
  response.writeHead(200, {
    'content-type': 'text/html; charset=utf-8',
    // The page holds a key once somebody has put it in: no other page may frame it, and none learns its address.
    'content-security-policy': "frame-ancestors 'none'",
    'referrer-policy': 'no-referrer',
    vary: 'Origin, Accept-Encoding',
    ...(zipped ? { 'content-encoding': 'gzip' } : {}),
  })
  response.end(zipped ? page.gzipped : page.plain)
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | null = null
  return () => {
    made ??= make()
    return made
  }
}
