import { pino } from 'pino'

/** Structured log lines: an object of facts, then a sentence. Secrets and payloads are never among the facts. */
export type Log = Lines & {
  /** What everything runs into at once, and every trouble of this log therefore leaves to it. */
  outage?: Outage
}

type Lines = {
  debug(facts: object, sentence: string): void
  info(facts: object, sentence: string): void
  warn(facts: object, sentence: string): void
  error(facts: object, sentence: string): void
}

/** `facts` stand in every line, like the role of the process: lines of several are read together. */
export function createLog(level: string, facts: object = {}): Log {
  const lines: Lines = pino({
    level,
    base: facts,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (name) => ({ level: name }) },
    serializers: { err: describeError },
  })
  return lines
}

/** Swallows everything; for commands and tests that speak for themselves. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** Something that fails again and again while its cause lasts, as a loop does while the database is away. */
export type Trouble = {
  failed(err: unknown, facts?: object): void
  /** It works: says so where it was said that it does not. */
  over(): void
}

/** A trouble that many have at once: `is` says whether an error comes of it. */
export type Outage = Trouble & { is(err: unknown): boolean }

export type TroubleOptions = {
  failing: string
  working: string
  level?: 'warn' | 'error'
  now?: () => number
  /** What is told of apart. By code, where there is one: messages may differ in what they quote. */
  kindOf?: (err: unknown) => string
  /** Told of by itself, also where it is an outage: it says where that one comes from. */
  byItself?: boolean
}

const TOLD_AGAIN_MS = 30_000

/** Tells of each kind of failure at once, then every half a minute with how many there were, and when it is over. */
export function createTrouble(
  log: Log,
  { failing, working, level = 'error', now = monotonic, kindOf = codeOf, byItself = false }: TroubleOptions,
): Trouble {
  const outage = byItself ? undefined : log.outage
  let inOutage = false
  const toldAt = new Map<string, number>()
  let since: number | null = null
  let failures = 0
  let told = false
  return {
    failed(err, facts = {}) {
      if (outage?.is(err)) {
        inOutage = true
        return outage.failed(err)
      }
      since ??= now()
      failures++
      const kind = kindOf(err)
      if (now() - (toldAt.get(kind) ?? Number.NEGATIVE_INFINITY) < TOLD_AGAIN_MS) return
      toldAt.set(kind, now())
      told = true
      log[level]({ err, ...facts, ...(failures > 1 ? { failures } : {}) }, failing)
    },
    over() {
      if (inOutage) outage?.over()
      inOutage = false
      if (since === null) return
      if (told) log.warn({ failures, seconds: Math.round((now() - since) / 100) / 10 }, working)
      since = null
      failures = 0
      told = false
    },
  }
}

const monotonic = () => performance.now()

function codeOf(error: unknown): string {
  let kind = 'unknown'
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    kind = cause.message
    if ('code' in cause && cause.code !== undefined) return String(cause.code)
  }
  return kind
}

// Of the network, and of a Postgres that is away, starting, full or lets nobody in: no line of ours has a part in it.
const FROM_OUTSIDE =
  /^(E[A-Z]+|EAI_AGAIN|CONNECTION_\w+|CONNECT_TIMEOUT|ACQUIRE_TIMEOUT|UNAVAILABLE|(08|28|3D|53)...|57P..)$/

type Described = { name?: string; message?: string; stack?: string; code?: unknown; cause?: unknown; errors?: Error[] }

/**
 * What a log line may say of an error, also of one that an emitter made a plain object of. The message of a query error is
 * left out where it quotes the query's parameters (Drizzle's does), because parameters can be payloads and secrets: the
 * cause below it says what went wrong.
 */
export function describeError(error: unknown): object {
  if (typeof error !== 'object' || error === null) return { message: String(error) }
  const { name, message, stack, code, cause, errors } = error as Described
  const quotesParameters = 'params' in error && 'query' in error
  return {
    ...(name === undefined ? {} : { type: name }),
    // What tried several addresses says nothing itself.
    ...(quotesParameters ? {} : { message: message || errors?.map((each) => each.message).join('; ') }),
    ...(quotesParameters || FROM_OUTSIDE.test(String(code)) ? {} : { stack }),
    ...(code === undefined ? {} : { code }),
    ...(cause === undefined ? {} : { cause: describeError(cause) }),
  }
}
