import { GraphQLError, type GraphQLErrorOptions } from 'graphql'
import { type ErrorCode, isErrorCode } from '../../schema/error-codes.ts'
import type { Log, Trouble } from '../log.ts'
import { Mistake, mistakesIn } from '../mistake.ts'
import { isUnavailable } from '../postgres/unavailable.ts'

/** A caller's mistake as an answer. Not the error itself: an executor takes an `Error` among its values for a failure. */
export type UserError = Pick<Mistake, 'code' | 'message' | 'path'>

/** What a mutation answers: its result, or what was wrong with the call. */
export type Answer<Result> = { [Name in keyof Result]: Result[Name] | null } & { userErrors: UserError[] }

/** A mistake as it stands among the `userErrors` of a payload. */
export function userError({ code, message, path }: Mistake): UserError {
  return { code, message, path }
}

/** Runs a mutation; the caller's mistakes become user errors, everything else goes on its way: also that nobody asks any more. */
export async function payload<Name extends string, Value>(
  name: Name,
  work: () => Promise<Value>,
): Promise<Answer<Record<Name, Value>>> {
  return payloadOf([name], async () => ({ [name]: await work() }) as Record<Name, Value>)
}

/** The same for a payload of several fields. */
export async function payloadOf<Result extends object>(
  names: readonly (keyof Result)[],
  work: () => Promise<Result>,
): Promise<Answer<Result>> {
  try {
    return { ...(await work()), userErrors: [] }
  } catch (error) {
    if (!(error instanceof Mistake) || error.code === 'UNAUTHENTICATED') throw error
    const nothing = Object.fromEntries(names.map((name) => [name, null])) as Record<keyof Result, null>
    return { ...nothing, userErrors: mistakesIn(error).map(userError) }
  }
}

/** A top-level error for the caller: shown as it is, with its code. */
export function refusal(
  code: ErrorCode,
  message: string,
  { nodes, ...extensions }: Record<string, unknown> & Pick<GraphQLErrorOptions, 'nodes'> = {},
): GraphQLError {
  return new GraphQLError(message, { ...(nodes ? { nodes } : {}), extensions: { code, ...extensions } })
}

/** UNAUTHENTICATED: no key, a wrong one, or one that has ended; nobody is told which. */
export function unauthenticated(): GraphQLError {
  const message =
    'A valid API key or portal session is needed: send the header "Authorization: Bearer prk_…", or "Bearer prs_…".'
  return refusal('UNAUTHENTICATED', message)
}

/** FORBIDDEN: the caller lacks the scope. */
export function forbidden(field: string, scopes: readonly string[]): GraphQLError {
  return refusal('FORBIDDEN', `This credential may not use ${field}: that needs the scope ${scopes.join(' or ')}.`)
}

export type Presentation = {
  requestId: string
  log: Log
  /** Told of what cannot be answered because the database is away. */
  unavailable: Trouble
  hideSuggestions: boolean
}

/**
 * What the outside sees of an error. Mistakes and errors made for the caller are shown; everything else is our fault:
 * it is logged once with the request's id, and the caller gets that id and nothing more.
 */
export function presentError(
  error: unknown,
  { requestId, log, unavailable, hideSuggestions }: Presentation,
): GraphQLError {
  const at = error instanceof GraphQLError ? whereabouts(error) : {}
  const origin = originOf(error)
  if (origin instanceof GraphQLError) {
    // Around what a scalar says, GraphQL says which part of which variable it is about.
    const said = error instanceof GraphQLError && error.message.endsWith(origin.message) ? error : origin
    // The schema's own names are part of what is hidden with it.
    const message = hideSuggestions ? said.message.replace(/ ?Did you mean [^?]*\?/g, '') : said.message
    return new GraphQLError(message, { ...at, extensions: withCode(origin.extensions) })
  }
  if (origin instanceof Mistake) {
    return new GraphQLError(origin.message, { ...at, extensions: extensions(origin.code, { path: origin.path }) })
  }
  if (isFeedOverflow(origin)) {
    return new GraphQLError(origin.message, {
      ...at,
      extensions: extensions('FEED_OVERFLOW', { cursor: origin.cursor }),
    })
  }
  if (isUnavailable(origin)) {
    unavailable.failed(origin, { requestId })
    const message =
      'The database is unavailable at the moment. Try again; with an idempotency key nothing happens twice.'
    return new GraphQLError(message, { ...at, extensions: extensions('UNAVAILABLE', { requestId }) })
  }
  log.error({ err: origin, requestId, path: at.path?.join('.') }, 'A request failed')
  const message = `Something went wrong on our side. The log has the details under request id ${requestId}.`
  return new GraphQLError(message, { ...at, extensions: extensions('INTERNAL', { requestId }) })
}

const extensions = (code: ErrorCode, more: object) => ({ code, ...more })

/** What GraphQL itself refuses has no code of ours, such as a name that no operation of the document has. */
function withCode(given: Record<string, unknown>): Record<string, unknown> {
  return isErrorCode(given.code) ? given : { ...given, code: 'BAD_REQUEST' satisfies ErrorCode }
}

function whereabouts({ nodes, source, positions, path }: GraphQLError): GraphQLErrorOptions {
  return { nodes: nodes ?? null, source: source ?? null, positions: positions ?? null, path: path ?? null }
}

/** Executors wrap what a resolver throws, sometimes twice. */
function originOf(error: unknown): unknown {
  let origin = error
  while (origin instanceof GraphQLError && origin.originalError) origin = origin.originalError
  return origin
}

/** By its code: the feed must not know about GraphQL, nor this file about feeds. */
function isFeedOverflow(error: unknown): error is Error & { cursor: string } {
  return error instanceof Error && 'code' in error && error.code === 'FEED_OVERFLOW' && 'cursor' in error
}
