import { pino } from 'pino'

/** Structured log lines: an object of facts, then a sentence. Secrets and payloads are never among the facts. */
export type Log = {
  debug(facts: object, sentence: string): void
  info(facts: object, sentence: string): void
  warn(facts: object, sentence: string): void
  error(facts: object, sentence: string): void
}

export function createLog(level: string): Log {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: describeError } })
}

/** Swallows everything; for commands and tests that speak for themselves. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }

/**
 * What a log line may say of an error. The message of a query error is left out where it quotes the query's parameters
 * (Drizzle's does), because parameters can be payloads and secrets: the cause below it says what went wrong.
 */
export function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) }
  const { code } = error as { code?: unknown }
  const quotesParameters = 'params' in error && 'query' in error
  return {
    type: error.name,
    ...(quotesParameters ? {} : { message: error.message, stack: error.stack }),
    ...(code === undefined ? {} : { code }),
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  }
}
