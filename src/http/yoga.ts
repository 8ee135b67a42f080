import { GraphQLError, type GraphQLSchema } from 'graphql'
import { createYoga, type Plugin, type YogaServerInstance } from 'graphql-yoga'
import { type ErrorCode, isErrorCode } from '../../schema/error-codes.ts'
import type { Capabilities } from '../graphql/capabilities.ts'
import { type Context, createContext } from '../graphql/context.ts'
import { presentError } from '../graphql/errors.ts'
import { createLimits } from '../graphql/limits.ts'
import { refuseUnreadableResults } from '../graphql/whole-mutations.ts'
import type { Log, Trouble } from '../log.ts'
import type { Viewer } from '../tenants/access.ts'
import type { CallerWatch } from '../tenants/watch.ts'
import type { Params } from './body.ts'
import { limitStreams, type Streams } from './streams.ts'

/** The API's path, for HTTP, SSE and WebSocket alike. */
export const GRAPHQL_PATH = '/graphql'

/** What is known of a request before GraphQL begins. Over WebSocket there are no params: the message has them. */
export type Incoming = {
  viewer: Viewer
  requestId: string
  operation: Params | null
  /** To be told when a live subscription has begun. */
  isLive?(ended: () => void): void
}
export type Yoga = YogaServerInstance<Incoming, Context>

export type YogaOptions = {
  schema: GraphQLSchema
  capabilities: Capabilities
  log: Log
  unavailable: Trouble
  introspection: boolean
  streams: Streams
  callers: Pick<CallerWatch, 'watch'>
}

/** Parsing, validating, limits, execution and the masking of errors: one pipeline for HTTP, SSE and WebSocket. */
export function createPipeline(options: YogaOptions): Yoga {
  const { schema, capabilities, log, unavailable, introspection } = options
  const present = (error: unknown, requestId: string) =>
    presentError(error, { requestId, log, unavailable, hideSuggestions: !introspection })
  return createYoga<Incoming, Context>({
    schema,
    graphqlEndpoint: GRAPHQL_PATH,
    context: ({ viewer, requestId }) => createContext(capabilities, viewer, requestId),
    plugins: [
      operationFromWrapper,
      presentErrors(present),
      limitStreams(options.streams, options.callers),
      createLimits({ introspection }),
      refuseUnreadableResults,
    ],
    // What goes wrong outside an operation has no request that could be named; errors presented already stay as they are.
    maskedErrors: { maskError: (error) => (isPresented(error) ? coded(error) : present(error, 'none')) },
    parserAndValidationCache: { documentCache: createSmallCache(), errorCache: createSmallCache() },
    // Ours does these before yoga is called, for all answers alike.
    cors: false,
    maxRequestBodySize: false,
    graphiql: false,
    landingPage: false,
    multipart: false,
    batching: false,
    logging: false,
  })
}

// Documents of clients are few and small. Keeping whatever comes, up to 1,024 of 5 MiB with a tree fifty times as large, would
// let one key holder fill the memory.
const MOST_KEPT = 256
const LARGEST_KEPT_CHARACTERS = 4096

/** Keeps what small documents were parsed to; begins anew when it is full. */
function createSmallCache<T>() {
  const kept = new Map<string, T>()
  return {
    get: (document: string) => kept.get(document),
    set(document: string, value: T) {
      if (document.length > LARGEST_KEPT_CHARACTERS) return
      if (kept.size >= MOST_KEPT) kept.clear()
      kept.set(document, value)
    },
  }
}

const isPresented = (error: unknown): error is GraphQLError => error instanceof GraphQLError && !error.originalError

/** What yoga itself refuses, like a mutation by GET. Its notes for HTTP have to stay. */
function coded(error: GraphQLError): GraphQLError {
  if (isErrorCode(error.extensions.code)) return error
  const { nodes, source, positions, path, extensions, message } = error
  const at = { nodes: nodes ?? null, source: source ?? null, positions: positions ?? null, path: path ?? null }
  return new GraphQLError(message, { ...at, extensions: { ...extensions, code: 'BAD_REQUEST' satisfies ErrorCode } })
}

/** The wrapper has read the body, with its own cap: yoga must not try again. */
const operationFromWrapper: Plugin<object, Incoming> = {
  onRequestParse({ setRequestParser, serverContext }) {
    setRequestParser(() => serverContext.operation as never)
  },
}

/** Every error of an operation passes here, with the id of its request. */
function presentErrors(present: (error: unknown, requestId: string) => Error): Plugin<Context> {
  const ofResult = (result: unknown, requestId: string) => {
    const { errors } = result as { errors?: readonly unknown[] }
    return errors ? { ...(result as object), errors: errors.map((error) => present(error, requestId)) } : null
  }
  return {
    onExecute({ context }) {
      return {
        onExecuteDone({ result, setResult }) {
          const presented = ofResult(result, context.requestId)
          if (presented) setResult(presented as never)
        },
      }
    },
    onSubscribe({ context }) {
      const { requestId } = context
      return {
        onSubscribeResult({ result, setResult }) {
          if (Symbol.asyncIterator in result) {
            return {
              onNext({ result, setResult }) {
                const presented = ofResult(result, requestId)
                if (presented) setResult(presented as never)
              },
            }
          }
          const presented = ofResult(result, requestId)
          if (presented) setResult(presented as never)
          return undefined
        },
        onSubscribeError({ error, setError }) {
          setError(present(error, requestId))
        },
      }
    },
  }
}
