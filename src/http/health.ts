import { createServer } from 'node:http'
import type { Config } from '../config.ts'
import { createTrouble, type Log } from '../log.ts'
import { answerJson } from './answer.ts'
import { watchConnections } from './connections.ts'
import { HTTP_LIMITS, SIZES } from './limits.ts'
import { type HttpServer, listening } from './listening.ts'
import { pathOf } from './location.ts'
import { answerHealth, createReadiness } from './readiness.ts'
import { createUnread } from './unread.ts'

export type HealthServerOptions = {
  config: Pick<Config, 'host' | 'port'>
  log: Log
  /** Resolves when the database answers. */
  ready(): Promise<unknown>
}

const CLOSE_WITHIN_MS = 1000

/** What a worker alone answers: `/health` and `/ready`, for whoever keeps it running. */
export async function startHealthServer({ config, log, ready }: HealthServerOptions): Promise<HttpServer> {
  const unavailable = createTrouble(log, {
    failing: 'The database does not answer',
    working: 'The database answers again',
    level: 'warn',
  })
  const readiness = createReadiness({ ready, unavailable })
  const server = createServer({ maxHeaderSize: SIZES.headers }, (request, response) => {
    if (readiness.leaving()) response.setHeader('connection', 'close')
    if (answerHealth(pathOf(request), readiness, response)) return
    const message = 'There is nothing here: this process only delivers. It has /health and /ready.'
    answerJson(response, 404, { errors: [{ message, extensions: { code: 'NOT_FOUND' } }] })
  })
  server.headersTimeout = HTTP_LIMITS.headersMs
  server.requestTimeout = HTTP_LIMITS.requestMs
  const connections = watchConnections(server, HTTP_LIMITS, createUnread(HTTP_LIMITS.unreadBytesInAll))
  const place = listening(server, config)
  await place.listen()
  return {
    ...place,
    async close() {
      if (!server.listening) return
      await readiness.leave()
      await connections.close(CLOSE_WITHIN_MS)
    },
  }
}
