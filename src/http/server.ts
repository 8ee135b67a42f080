import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
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
import { type HttpServer, listening } from './listening.ts'
import { pathOf } from './location.ts'
import { answerCors } from './origins.ts'
import { answerHealth, createReadiness, type Readiness } from './readiness.ts'
import { createWebSockets } from './websocket.ts'
import { createPipeline, GRAPHQL_PATH, type Yoga } from './yoga.ts'

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
  const { allowedOrigins, introspection } = config
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
  const readiness = createReadiness({ ready: options.ready, unavailable })
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
    ...listening(server, config),
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
  if (answerHealth(path, site.readiness, response)) return
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

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | null = null
  return () => {
    made ??= make()
    return made
  }
}
