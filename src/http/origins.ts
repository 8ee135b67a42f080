import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'

/** Whether a browser may use this server from the page that asks: one of our own, or one that the operator named. */
export function isAllowedOrigin(headers: IncomingHttpHeaders, allowedOrigins: readonly string[]): boolean {
  const { origin, host } = headers
  // Not a browser, or a page of ours that needs no permission.
  if (origin === undefined) return true
  if (allowedOrigins.includes(origin)) return true
  return URL.canParse(origin) && new URL(origin).host === host
}

const EXPOSED = 'x-request-id, retry-after, ratelimit-limit, ratelimit-remaining, ratelimit-reset'

/** Tells browsers whether they may. Returns whether the request was a preflight, and is answered with this. */
export function answerCors(
  request: IncomingMessage,
  response: ServerResponse,
  allowedOrigins: readonly string[],
): boolean {
  response.setHeader('vary', 'Origin')
  const { origin } = request.headers
  if (origin !== undefined && isAllowedOrigin(request.headers, allowedOrigins)) {
    response.setHeader('access-control-allow-origin', origin)
    response.setHeader('access-control-expose-headers', EXPOSED)
    if (request.method === 'OPTIONS') {
      response.setHeader('access-control-allow-methods', 'GET, POST')
      response.setHeader('access-control-allow-headers', 'authorization, content-type')
      response.setHeader('access-control-max-age', '600')
    }
  }
  if (request.method !== 'OPTIONS') return false
  response.writeHead(204).end()
  return true
}
