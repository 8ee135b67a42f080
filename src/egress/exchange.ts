import { Buffer } from 'node:buffer'
import type { Dispatcher } from 'undici'
import type { Log } from '../log.ts'
import { adviceFor, classify, EgressError, type EgressFailure, failureOf } from './failures.ts'
import type { Line, Lines } from './lines.ts'

export type EgressRequest = {
  url: string
  method: 'POST' | 'PUT' | 'PATCH'
  headers: readonly (readonly [string, string])[]
  body: Buffer
  /** One deadline over resolving, connecting, headers and body. */
  deadlineMs: number
  /** How much of the answer's body is kept; 16 KiB unless told. */
  maxBodyBytes?: number
}

/** What came of a request. An expected failure is a value: null `failure` means that status line and headers came in. */
export type EgressResult = {
  status: number | null
  /** As received: order, case and repetitions kept, values decoded as latin1. */
  headers: [string, string][]
  body: Buffer
  /** The bytes of the body that arrived (without transfer coding); null without an answer. */
  bodyBytes: number | null
  /** Whether `body` is not the whole of it: over the limit, broken off, or not waited for. */
  truncated: boolean
  remoteAddress: string | null
  reusedSocket: boolean
  /** The first three are null for a reused socket; `firstByteMs` counts from the request being written. */
  timings: {
    dnsMs: number | null
    connectMs: number | null
    tlsMs: number | null
    firstByteMs: number | null
    totalMs: number
  }
  failure: EgressFailure | null
}

type Settle = (result: EgressResult) => void
type ExchangeContext = { lines: Lines; maxReadBytes: number; log: Log; settle: Settle }

/** One request and what has come of it so far; the handler's callbacks write here. */
type Exchange = ExchangeContext & {
  request: EgressRequest
  url: URL
  headers: string[]
  line: Line | null
  startedAt: number
  writtenAt: number | null
  firstByteMs: number | null
  reused: boolean
  resent: boolean
  interimAnswers: number
  status: number | null
  responseHeaders: [string, string][]
  chunks: Buffer[]
  kept: number
  received: number
  timer: NodeJS.Timeout | null
  done: boolean
}

const MOST_INTERIM_ANSWERS = 16
const KEPT_BODY_BYTES = 16 * 1024
const NOTHING = Buffer.alloc(0)

/** Sends one request and settles exactly once. Throws for what cannot be sent at all: a URL or header that is none. */
export function createExchange(request: EgressRequest, context: ExchangeContext): void {
  const exchange: Exchange = {
    ...context,
    request,
    url: new URL(request.url),
    headers: headersOf(request),
    line: null,
    startedAt: performance.now(),
    writtenAt: null,
    firstByteMs: null,
    reused: false,
    resent: false,
    status: null,
    responseHeaders: [],
    chunks: [],
    kept: 0,
    received: 0,
    timer: null,
    interimAnswers: 0,
    done: false,
  }
  start(exchange, false)
  if (!exchange.done) exchange.timer = setTimeout(onDeadline, request.deadlineMs, exchange)
}

function start(exchange: Exchange, fresh: boolean): void {
  const { url, request, headers } = exchange
  const line = exchange.lines.take(url, fresh)
  exchange.line = line
  exchange.reused = false
  line.client.dispatch(
    { path: url.pathname + url.search, method: request.method, headers, body: request.body },
    handlerFor(exchange, line),
  )
}

function handlerFor(exchange: Exchange, line: Line): Dispatcher.DispatchHandler {
  return {
    onRequestStart() {
      exchange.reused = line.served > 0
      exchange.writtenAt = performance.now()
      line.served++
    },
    onResponseStarted() {
      exchange.firstByteMs ??= performance.now() - (exchange.writtenAt ?? exchange.startedAt)
    },
    onResponseStart(controller, status) {
      // RFC 9110, section 15.2: other 1xx answers may come before the real one. A few, not a flood: sixty receivers that
      // never stopped sending 103 starved everybody else. A status below 100 is none; undici would fail an assertion over it
      // once the message ends.
      if (exchange.done) return
      const interim = status >= 100 && status < 200
      if (interim && ++exchange.interimAnswers <= MOST_INTERIM_ANSWERS) return
      if (interim || status < 100) return abandon(exchange, new EgressError('PROTOCOL', adviceFor('PROTOCOL')))
      exchange.status = status
      exchange.responseHeaders = pairsOf(controller.rawHeaders)
    },
    onResponseData(_controller, chunk) {
      if (!exchange.done) receive(exchange, chunk)
    },
    onResponseEnd() {
      if (exchange.done) return
      exchange.lines.release(line)
      finish(exchange, null, true)
    },
    onResponseError(_controller, error) {
      if (!exchange.done) onError(exchange, line, error)
    },
  }
}

function receive(exchange: Exchange, chunk: Buffer): void {
  const room = (exchange.request.maxBodyBytes ?? KEPT_BODY_BYTES) - exchange.kept
  if (room > 0) {
    // Copied: a slice would keep the whole 64 KiB read buffer alive for as long as the attempt waits to be recorded.
    const part = Buffer.from(chunk.subarray(0, room))
    exchange.chunks.push(part)
    exchange.kept += part.length
  }
  exchange.received += chunk.length
  if (exchange.received > exchange.maxReadBytes) abandon(exchange, null)
}

function onError(exchange: Exchange, line: Line, error: Error): void {
  // RFC 9112, section 9.3.1: a server may close an idle connection at any time, also while a request is on its way to it.
  // It cannot have been answered, so this costs no attempt; once, and on a socket that nobody used before.
  const stale = exchange.reused && exchange.firstByteMs === null && classify(error) === 'RESET'
  if (stale && !exchange.resent) {
    line.end()
    exchange.resent = true
    start(exchange, true)
    return
  }
  const refined = refine(exchange, line, error)
  if (classify(refined) === 'INTERNAL') exchange.log.error({ err: refined }, 'a request failed for a reason of our own')
  abandon(exchange, refined)
}

/** undici says "socket error" both when the peer closes and when it closes itself over a 100 or 101 it did not ask for. */
function refine(exchange: Exchange, line: Line, error: Error): Error {
  const closedByUs = 'code' in error && error.code === 'UND_ERR_SOCKET' && line.socket?.readableEnded === false
  return closedByUs && exchange.firstByteMs !== null ? new EgressError('PROTOCOL', adviceFor('PROTOCOL')) : error
}

function onDeadline(exchange: Exchange): void {
  const phase = exchange.line?.opening.phase
  const errorClass = phase === 'open' ? 'TIMEOUT' : phase === 'dns' ? 'DNS' : 'CONNECT_TIMEOUT'
  abandon(exchange, new EgressError(errorClass, adviceFor(errorClass)))
}

/** Ends the socket with the exchange. Status decides: with a complete header section there is no failure any more. */
function abandon(exchange: Exchange, error: Error | null): void {
  finish(exchange, exchange.status === null && error !== null ? failureOf(error) : null, false)
  exchange.line?.end()
}

function finish(exchange: Exchange, failure: EgressFailure | null, complete: boolean): void {
  if (exchange.done) return
  exchange.done = true
  if (exchange.timer !== null) clearTimeout(exchange.timer)
  const { line, status, chunks, kept, received, reused, firstByteMs, startedAt } = exchange
  const opening = reused ? null : (line?.opening ?? null)
  exchange.settle({
    status,
    headers: exchange.responseHeaders,
    body: chunks.length === 1 ? (chunks[0] as Buffer) : chunks.length === 0 ? NOTHING : Buffer.concat(chunks),
    bodyBytes: status === null ? null : received,
    truncated: status !== null && (!complete || kept < received),
    remoteAddress: line?.opening.remoteAddress ?? null,
    reusedSocket: reused,
    timings: {
      dnsMs: opening?.dnsMs ?? null,
      connectMs: opening?.connectMs ?? null,
      tlsMs: opening?.tlsMs ?? null,
      firstByteMs,
      totalMs: performance.now() - startedAt,
    },
    failure,
  })
}

function headersOf({ headers }: EgressRequest): string[] {
  const flat: string[] = []
  let encoding = false
  for (const [name, value] of headers) {
    flat.push(name, value)
    encoding ||= name.toLowerCase() === 'accept-encoding'
  }
  // Nothing is ever decompressed, so nothing compressed is asked for.
  if (!encoding) flat.push('accept-encoding', 'identity')
  return flat
}

/** From the raw list: undici's parsed form turns a repeated header into an array and a name's case is lost. */
function pairsOf(raw: Dispatcher.DispatchController['rawHeaders']): [string, string][] {
  const pairs: [string, string][] = []
  if (!Array.isArray(raw)) return pairs
  for (let i = 0; i + 1 < raw.length; i += 2) pairs.push([latin1(raw[i]), latin1(raw[i + 1])])
  return pairs
}

function latin1(text: Buffer | string | undefined): string {
  return typeof text === 'string' ? text : (text?.toString('latin1') ?? '')
}
