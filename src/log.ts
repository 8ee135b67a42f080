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

/** Something that fails again and again while its cause lasts, as a loop does while the database is away. */
export type Trouble = {
  failed(err: unknown, facts?: object): void
  /** It works: says so where it was said that it does not. */
  over(): void
}

export type TroubleOptions = { failing: string; working: string; level?: 'warn' | 'error'; now?: () => number }

const TOLD_AGAIN_MS = 30_000

/** Tells of each kind of failure at once, then every half a minute with how many there were, and when it is over. */
export function createTrouble(
  log: Log,
  { failing, working, level = 'error', now = monotonic }: TroubleOptions,
): Trouble {
  const toldAt = new Map<string, number>()
  let since: number | null = null
  let failures = 0
  let told = false
  return {
    failed(err, facts = {}) {
      since ??= now()
      failures++
      const kind = kindOf(err)
      if (now() - (toldAt.get(kind) ?? Number.NEGATIVE_INFINITY) < TOLD_AGAIN_MS) return
      toldAt.set(kind, now())
      told = true
      log[level]({ err, ...facts, ...(failures > 1 ? { failures } : {}) }, failing)
    },
    over() {
      if (since === null) return
      if (told) log.warn({ failures, seconds: Math.round((now() - since) / 100) / 10 }, working)
      since = null
      failures = 0
      told = false
    },
  }
}

const monotonic = () => performance.now()

/** By code, where there is one: messages may differ in what they quote. */
function kindOf(error: unknown): string {
  let kind = 'unknown'
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    kind = cause.message
    if ('code' in cause && cause.code !== undefined) return String(cause.code)
  }
  return kind
}

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
