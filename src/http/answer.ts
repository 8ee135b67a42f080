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
  if (response.headersSent || response.destroyed) return
  const text = JSON.stringify(body)
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
  // The rest of a body that was not read would have to be, before the next request: as much as the client likes to send.
  answerJson(response, status, { errors: [error] }, { connection: 'close', ...headers })
}
