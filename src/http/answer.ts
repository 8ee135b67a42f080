import type { ServerResponse } from 'node:http'
import type { GraphQLError } from 'graphql'
import { type ErrorCode, isErrorCode } from '../../schema/error-codes.ts'

/** Answers with JSON, unless an answer was begun already. */
export function answerJson(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Record<string, string> = {},
): void {
  // Many may be given the same one, printed already.
  const text = Buffer.isBuffer(body) ? body : JSON.stringify(body)
  if (response.headersSent || response.destroyed) return
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(text)),
    'cache-control': 'no-store',
    ...headers,
  })
  response.end(text)
}

/** A request that never reached GraphQL is answered in GraphQL's form all the same: clients read nothing else. */
export function answerError(
  response: ServerResponse,
  status: number,
  error: { message: string; code: ErrorCode },
  headers: Record<string, string> = {},
): void {
  answerErrors(response, status, { message: error.message, extensions: { code: error.code } }, headers)
}

/** The same for an error that GraphQL's side has made, with all it tells. */
export function answerGraphQLError(
  response: ServerResponse,
  status: number,
  { message, extensions }: GraphQLError,
  headers: Record<string, string> = {},
): void {
  const code: ErrorCode = isErrorCode(extensions.code) ? extensions.code : 'BAD_REQUEST'
  answerErrors(response, status, { message, extensions: { ...extensions, code } }, headers)
}

function answerErrors(response: ServerResponse, status: number, error: object, headers: Record<string, string>): void {
  if (response.headersSent || response.destroyed) return
  const text = JSON.stringify({ errors: [error] })
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(text)),
    'cache-control': 'no-store',
    // The rest of a body that was not read would have to be, before the next request: as much as the client likes to send.
    connection: 'close',
    ...headers,
  })
  response.write(text)
  endWhenSent(response)
}

const LINGER_MS = 1000

/** Closed under the hands of a client that is still sending, a connection takes the answer with it: it is reset (RFC 9112, 9.6). */
function endWhenSent(response: ServerResponse): void {
  const { req: request } = response
  if (request.complete || request.headers.expect !== undefined) {
    response.end()
    return
  }
  const end = () => {
    clearTimeout(timer)
    response.end()
  }
  const timer = setTimeout(end, LINGER_MS)
  request.once('end', end).once('close', end).resume()
}
