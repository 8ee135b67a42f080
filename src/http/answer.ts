import type { ServerResponse } from 'node:http'
import type { GraphQLError } from 'graphql'

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
  error: { message: string; code: string },
  headers: Record<string, string> = {},
): void {
  const { message, code } = error
  // The rest of a body that was not read would be taken for the next request.
  answerJson(response, status, { errors: [{ message, extensions: { code } }] }, { connection: 'close', ...headers })
}

export function answerGraphQLError(
  response: ServerResponse,
  status: number,
  error: GraphQLError,
  headers: Record<string, string> = {},
): void {
  answerError(response, status, { message: error.message, code: String(error.extensions.code) }, headers)
}
