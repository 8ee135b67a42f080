import { Buffer } from 'node:buffer'
import { isIP } from 'node:net'
import type { Dispatcher } from 'undici'
import type { Log } from '../log.ts'
import { adviceFor, classify, EgressError, type EgressFailure, failureOf } from './failures.ts'
import { asksForCertificate } from './handshake.ts'
import { flatHeaders, pairsOf, sizeOf } from './headers.ts'
import { inTheLightOf, type TlsIdentity } from './identity.ts'
import { lateIn } from './late.ts'
import type { Line, Lines } from './lines.ts'
import type { Opening } from './opening.ts'
import { countReads, expectNothing, type Reads } from './reads.ts'
import { targetOf } from './target.ts'

export type EgressRequest = {
  url: string
  method: 'POST' | 'PUT' | 'PATCH'
  headers: readonly (readonly [string, string])[]
  body: Buffer
  /** One deadline over resolving, connecting, headers and body. */
  deadlineMs: number
  /** The client certificate to show, over https. */
  identity?: TlsIdentity | null
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
type ExchangeContext = { lines: Lines; log: Log; settle: Settle }

/** One request and what has come of it so far; the handler's callbacks write here. */
type Exchange = ExchangeContext & {
  request: EgressRequest
  url: URL
  headers: string[]
  line: Line | null
  startedAt: number
  /** When the present line was taken: later than the start once the request is sent again. */
  takenAt: number
  writtenAt: number | null
  firstByteMs: number | null
  reused: boolean
  /** Whether the parser has found the beginning of an answer. */
  begun: boolean
  interimAnswers: number
  reads: Reads | null
  status: number | null
  responseHeaders: [string, string][]
  /** What is kept of the body: its first `kept` bytes. */
  body: Buffer
  kept: number
  received: number
  timer: NodeJS.Timeout | null
  done: boolean
}

const MOST_INTERIM_ANSWERS = 16
const MOST_HEADER_BYTES = 16 * 1024
// Each is an object of its own for as long as the answer lasts: 6,000 tiny ones took 2 MB.
const MOST_HEADERS = 200
const LOOK_EVERY_MS = 250
const KEPT_BODY_BYTES = 16 * 1024
// What is more is not even counted: the socket is closed.
const MOST_READ_BYTES = 1024 * 1024
const NOTHING = Buffer.alloc(0)

/** Sends one request and settles exactly once. Throws for what cannot be sent at all: a URL or header that is none. */
export function createExchange(request: EgressRequest, context: ExchangeContext): void {
  const exchange: Exchange = {
    ...context,
    request,
    url: new URL(request.url),
    headers: flatHeaders(request.headers),
    line: null,
    startedAt: performance.now(),
    takenAt: 0,
    writtenAt: null,
    firstByteMs: null,
    reused: false,
    begun: false,
    reads: null,
    status: null,
    responseHeaders: [],
    body: NOTHING,
    kept: 0,
    received: 0,
    timer: null,
    interimAnswers: 0,
    done: false,
  }
  start(exchange, false)
  if (!exchange.done) look(exchange)
}

function start(exchange: Exchange, fresh: boolean): void {
  const { url, request, headers } = exchange
  const line = exchange.lines.take(url, exchange.startedAt + request.deadlineMs, fresh, request.identity)
  exchange.line = line
  exchange.takenAt = performance.now()
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
      exchange.reads = line.socket && countReads(line.socket, readingFor(exchange))
    },
    onResponseStarted() {
      exchange.begun = true
    },
    onResponseStart(controller, status) {
      // RFC 9110, section 15.2: other 1xx answers may come before the real one. A few, not a flood: sixty receivers that
      // never stopped sending 103 starved everybody else. A status below 100 is none; undici would fail an assertion over it
      // once the message ends.
      if (exchange.done) return
      const interim = status >= 100 && status < 200
      exchange.reads?.headEnded()
      if (interim && ++exchange.interimAnswers <= MOST_INTERIM_ANSWERS) return
      if (interim) return abandon(exchange, new EgressError('PROTOCOL', 'The server sent 1xx answers without end.'))
      if (status < 100) return abandon(exchange, new EgressError('PROTOCOL', `There is no status ${status} in HTTP.`))
      const { rawHeaders } = controller
      if (Array.isArray(rawHeaders) && rawHeaders.length > MOST_HEADERS * 2) return abandon(exchange, tooMany())
      const headers = pairsOf(rawHeaders)
      if (sizeOf(headers) > MOST_HEADER_BYTES) return abandon(exchange, tooLarge())
      exchange.status = status
      exchange.responseHeaders = headers
    },
    onResponseData(_controller, chunk) {
      if (!exchange.done) receive(exchange, chunk)
    },
    onResponseEnd() {
      if (exchange.done) return
      if (line.socket !== null) expectNothing(line.socket)
      exchange.lines.release(line)
      finish(exchange, null, true)
    },
    onResponseError(_controller, error) {
      if (!exchange.done) onError(exchange, line, error)
    },
  }
}

function readingFor(exchange: Exchange) {
  return {
    maxBodyBytes: MOST_READ_BYTES,
    bodyBytes: () => exchange.received,
    onRead() {
      exchange.firstByteMs ??= performance.now() - (exchange.writtenAt ?? exchange.startedAt)
    },
    onTooMuch() {
      abandon(exchange, exchange.begun ? tooLarge() : new EgressError('PROTOCOL', adviceFor('PROTOCOL')))
    },
  }
}

const tooMany = () => new EgressError('HEADERS_TOO_LARGE', `The answer has more than ${MOST_HEADERS} headers.`)
const tooLarge = () => new EgressError('HEADERS_TOO_LARGE', adviceFor('HEADERS_TOO_LARGE'))

function receive(exchange: Exchange, chunk: Buffer): void {
  const room = KEPT_BODY_BYTES - exchange.kept
  if (room > 0) keep(exchange, chunk.subarray(0, room))
  exchange.received += chunk.length
  if (exchange.received > MOST_READ_BYTES) abandon(exchange, null)
}

/**
 * Copied into one buffer: a slice would keep the whole 64 KiB read buffer alive for as long as the attempt waits to be
 * recorded, and 8,000 chunks of a byte with a Buffer each took a megabyte.
 */
function keep(exchange: Exchange, part: Buffer): void {
  const needed = exchange.kept + part.length
  if (needed > exchange.body.length) {
    const larger = Buffer.allocUnsafeSlow(exchange.kept === 0 ? needed : 2 * needed)
    exchange.body.copy(larger, 0, 0, exchange.kept)
    exchange.body = larger
  }
  part.copy(exchange.body, exchange.kept)
  exchange.kept = needed
}

function onError(exchange: Exchange, line: Line, error: Error): void {
  // RFC 9112, section 9.3.1: a server may close an idle connection at any time, also while a request is on its way to it.
  // It cannot have been answered, so this costs no attempt. Once, because the socket it gets then is fresh.
  if (exchange.reused && exchange.firstByteMs === null && classify(error) === 'RESET') {
    line.end()
    start(exchange, true)
    return
  }
  const refined = inTheLightOf(exchange.request.identity, refine(exchange, line, error))
  if (classify(refined) === 'INTERNAL') exchange.log.error({ err: refined }, 'a request failed for a reason of our own')
  abandon(exchange, refined)
}

/** What is known of a closed socket beyond that it is closed. */
function refine({ begun, reused, firstByteMs }: Exchange, { socket }: Line, error: Error): Error {
  if (socket === null || classify(error) !== 'RESET') return error
  // undici says "socket error" both when the peer closes and when it closes itself over a 100 or 101 it did not ask for.
  const closedByUs = 'code' in error && error.code === 'UND_ERR_SOCKET' && !socket.readableEnded
  if (closedByUs && begun) {
    return new EgressError(
      'PROTOCOL',
      'The server sent 100 Continue or 101 Switching Protocols, which nobody asked for.',
    )
  }
  // In TLS 1.3 a client is done before the server has looked for its certificate (RFC 8446, section 4.4.2.4), so that the
  // alert comes for the first request; and when the request is under way already, a reset may overtake it.
  if (!reused && firstByteMs === null && asksForCertificate(socket)) {
    return new EgressError('TLS_CLIENT_CERTIFICATE', adviceFor('TLS_CLIENT_CERTIFICATE'), { cause: error })
  }
  return error
}

/** Looks now and then whether there is time left, and whether more comes in than anything is made of. */
function look(exchange: Exchange): void {
  const leftMs = exchange.request.deadlineMs - (performance.now() - exchange.startedAt)
  if (leftMs <= 0) {
    abandon(exchange, lateIn(exchange.line?.opening.phase ?? 'dns'))
  } else if (exchange.reads?.flooded()) {
    abandon(
      exchange,
      new EgressError('TLS_PROTOCOL', 'The server sent TLS records without end, and no answer in them.'),
    )
  } else {
    exchange.timer = setTimeout(look, Math.min(leftMs, LOOK_EVERY_MS), exchange)
  }
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
  const { line, status, body, kept, received, reused, firstByteMs, startedAt } = exchange
  exchange.settle({
    status,
    headers: exchange.responseHeaders,
    body: body.subarray(0, kept),
    bodyBytes: status === null ? null : received,
    truncated: status !== null && (!complete || kept < received),
    remoteAddress: line?.opening.remoteAddress ?? null,
    reusedSocket: reused,
    timings: {
      ...phasesOf(exchange),
      firstByteMs,
      totalMs: performance.now() - startedAt,
    },
    failure,
  })
}

const CONNECTING: readonly Opening['phase'][] = ['connect', 'proxy', 'tunnel']

/** What each phase of opening took; for the phase that it ended in, what was left. */
function phasesOf({ line, reused, takenAt, url }: Exchange) {
  if (line === null || reused) return { dnsMs: null, connectMs: null, tlsMs: null }
  const { phase, dnsMs, connectMs, tlsMs } = line.opening
  const restMs = performance.now() - takenAt - (dnsMs ?? 0) - (connectMs ?? 0)
  const resolved = isIP(targetOf(url)?.hostname ?? '') === 0
  return {
    dnsMs: dnsMs ?? (phase === 'dns' && resolved ? restMs : null),
    connectMs: connectMs ?? (CONNECTING.includes(phase) ? restMs : null),
    tlsMs: tlsMs ?? (phase === 'tls' ? restMs : null),
  }
}
