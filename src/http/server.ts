import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { GraphQLError, type GraphQLSchema } from 'graphql'
import type { Config } from '../config.ts'
import type { Capabilities } from '../graphql/capabilities.ts'
import { unauthenticated } from '../graphql/errors.ts'
import { refuseLongDocument } from '../graphql/limits.ts'
import { createTrouble, type Log, type Trouble } from '../log.ts'
import { isUnavailable, Unavailable } from '../postgres/unavailable.ts'
import { answerError, answerGraphQLError, answerJson } from './answer.ts'
import { BadRequest, readParams } from './body.ts'
import { type Connections, watchConnections } from './connections.ts'
import { bearerToken } from './credentials.ts'
import { type GraphiqlPage, renderGraphiql } from './graphiql.ts'
import { pathOf } from './location.ts'
import { answerCors } from './origins.ts'
import { createReadiness, type Readiness } from './readiness.ts'
import { createWebSockets } from './websocket.ts'
import { createPipeline, GRAPHQL_PATH, type Yoga } from './yoga.ts'

/** The address is not to be had; the message says what to do. */
export class CannotListen extends Error {
  readonly code = 'CANNOT_LISTEN'

  constructor(host: string, port: number, cause: NodeJS.ErrnoException) {
    const reasons: Record<string, string> = {
      EADDRINUSE: `Port ${port} on ${host} is in use. Set PORT to another one, or stop what listens there.`,
      EADDRNOTAVAIL: `${host} is no address of this machine. Set HOST to one that is, e.g. 127.0.0.1 or 0.0.0.0.`,
      EACCES: `This user may not listen on port ${port}. Set PORT to one above 1023.`,
    }
    super(reasons[cause.code ?? ''] ?? `Cannot listen on ${host}, port ${port}: ${cause.message}`, { cause })
    this.name = 'CannotListen'
  }
}

export type HttpServer = {
  /** Resolves when requests are taken; rejects when the port is not to be had. */
  listen(): Promise<void>
  /** Where it listens, like `http://127.0.0.1:4000`. */
  url(): string
  /** The address and port that it listens on, chosen ones too; null before and after. */
  address(): { address: string; port: number } | null
  /** Says at `/ready` that it goes, takes no more requests, ends live subscriptions, lets what is under way be answered. */
  close(): Promise<void>
}

export type HttpServerOptions = {
  config: Pick<Config, 'host' | 'port' | 'allowedOrigins' | 'introspection' | 'graphiql'>
  capabilities: Capabilities
  graphqlSchema: GraphQLSchema
  log: Log
  /** Resolves when the database answers. */
  ready(): Promise<unknown>
}

const CLOSE_WITHIN_MS = 5000

export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { config, capabilities, graphqlSchema, log } = options
  const { host, port, allowedOrigins, introspection } = config
  const unavailable = createTrouble(log, {
    failing: 'Requests cannot be answered: the database is unavailable',
    working: 'The database is available again',
    level: 'warn',
  })
  const yoga = createPipeline({ schema: graphqlSchema, capabilities, log, unavailable, introspection })
  const webSockets = createWebSockets({ yoga, capabilities, log, allowedOrigins })
  const graphiql = config.graphiql ? once(renderGraphiql) : null
  const server = createServer()
  const connections = watchConnections(server)
  const readiness = createReadiness(options.ready)
  const site: Site = { ...options, yoga, unavailable, connections, readiness, graphiql }
  server.on('request', (request, response) => {
    answer(site, request, response).catch((err: unknown) => {
      if (isUnavailable(err)) {
        unavailable.failed(err)
        return answerError(response, 503, new Unavailable(err), { 'retry-after': '1' })
      }
      log.error({ err }, 'A request failed')
      answerError(response, 500, { code: 'INTERNAL', message: 'Something went wrong on our side.' })
    })
  })
  // Slow clients: headers within 10 s, the whole request within 60 s; an answer may last as long as it likes.
  server.headersTimeout = 10_000
  server.requestTimeout = 60_000
  server.keepAliveTimeout = 65_000
  // And the answer must be taken: a socket on which nothing moves for so long is closed. Live feeds have their heartbeats.
  server.timeout = 60_000
  server.on('upgrade', (request, socket, head) => webSockets.upgrade(request, socket, head))
  return {
    listen: () => listen(server, host, port),
    url: () => urlOf(server, host),
    address: () => server.address() as AddressInfo | null,
    async close() {
      if (server.listening) await readiness.leave()
      webSockets.close()
      if (server.listening) await connections.close(CLOSE_WITHIN_MS)
    },
  }
}

type Site = HttpServerOptions & {
  yoga: Yoga
  unavailable: Trouble
  connections: Connections
  readiness: Readiness
  graphiql: (() => Promise<GraphiqlPage>) | null
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
  if (path === '/health') return answerJson(response, 200, { status: 'up' })
  if (path === '/ready') return site.readiness.answer(response)
  const message = `There is nothing at ${path.slice(0, 100)}. The API and GraphiQL are at ${GRAPHQL_PATH}.`
  answerJson(response, 404, { errors: [{ message, extensions: { code: 'NOT_FOUND' } }] })
}

async function answerGraphql(site: Site, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { config, capabilities, yoga } = site
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
  // Before the body is read, let alone parsed: without a valid key nothing is told, and nothing is done.
  const key = bearerToken(request.headers.authorization)
  const viewer = key === null ? null : await capabilities.authenticate(key, request.socket.remoteAddress ?? null)
  if (key !== null) site.unavailable.over()
  if (viewer === null) return answerGraphQLError(response, 401, unauthenticated(), { 'www-authenticate': 'Bearer' })
  try {
    const operation = await readParams(request)
    refuseLongDocument(operation.query)
    if (request.headers.accept?.includes('text/event-stream')) site.connections.isLive(response)
    await yoga(request, response, { viewer, requestId, operation })
  } catch (error) {
    if (error instanceof BadRequest) return answerError(response, error.status, error)
    if (error instanceof GraphQLError) return answerGraphQLError(response, 400, error)
    throw error
  }
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

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) => reject(new CannotListen(host, port, error))
    server.once('error', refuse)
    server.listen(port, host, () => {
      server.off('error', refuse)
      resolve()
    })
  })
}

function urlOf(server: Server, host: string): string {
  const { port } = server.address() as AddressInfo
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | null = null
  return () => {
    made ??= make()
    return made
  }
}
