import type { Socket } from 'node:net'
import { Client } from 'undici'
import type { Connector } from './connector.ts'
import { EgressError } from './failures.ts'
import type { TlsIdentity } from './identity.ts'
import { newOpening, type Opening } from './opening.ts'
import { targetOf } from './target.ts'

/**
 * A line: one undici client with at most one socket and one request at a time. undici's own Agent does not tell which
 * socket a request got, cannot give up a request that still waits for its connection, and cannot be asked for a fresh
 * socket; all three are needed for exact phases, one deadline over everything, and the second try after a reused socket died.
 */
export type Line = {
  readonly client: Client
  /** How the present (or coming) socket was opened. */
  opening: Opening
  socket: Socket | null
  /** When the socket was opened, by the monotonic clock. */
  openedAt: number
  /** Requests that this socket has begun to serve. */
  served: number
  /** When the request in hand must be over, by `performance.now()`. */
  deadlineAt: number
  /** Ends the socket, or the attempt to open one, at once. */
  end(): void
}

export type Lines = {
  /** An idle line to the origin that was opened with this very identity, or a new one; `fresh` never takes an idle one. */
  take(url: URL, deadlineAt: number, fresh: boolean, identity?: TlsIdentity | null): Line
  /** Gives a line back after a complete exchange. */
  release(line: Line): void
  close(): Promise<void>
}

export type LinesOptions = {
  connector: Connector
  maxHeaderBytes: number
  idleMs: number
  /** How long a socket is used, however busy. */
  longestLifeMs: number
}

export function createLines(options: LinesOptions): Lines {
  // Last in, first out: the socket used last is the least likely to be dead, and what is too many grows old and closes.
  const idle = new Map<string, Line[]>()
  const all = new Map<Line, string>()
  const isOld = ({ openedAt }: Line) => performance.now() - openedAt > options.longestLifeMs

  const removeIdle = (line: Line) => {
    const place = all.get(line) as string
    const lines = idle.get(place)
    const index = lines?.indexOf(line) ?? -1
    if (lines === undefined || index === -1) return false
    lines.splice(index, 1)
    if (lines.length === 0) idle.delete(place)
    return true
  }

  const openLine = (url: URL, identity: TlsIdentity | null) => {
    const line = newLine(url, identity, {
      ...options,
      // A line without a socket is worth nothing once idle; one with a request in hand is its exchange's to end.
      onDisconnect: (line) => {
        if (all.has(line) && removeIdle(line)) line.end()
      },
      onEnd: (line) => {
        removeIdle(line)
        all.delete(line)
      },
    })
    all.set(line, placeOf(url, identity))
    return line
  }

  return {
    take(url, deadlineAt, fresh, identity = null) {
      const lines = fresh ? undefined : idle.get(placeOf(url, identity))
      for (let line = lines?.at(-1); line !== undefined; line = lines?.at(-1)) {
        removeIdle(line)
        if (line.socket !== null && !line.socket.destroyed && !isOld(line)) return Object.assign(line, { deadlineAt })
        line.end()
      }
      return Object.assign(openLine(url, identity), { deadlineAt })
    },
    release(line) {
      const place = all.get(line)
      if (place === undefined) return
      // Answered before it was fully sent: the next request would wait behind bytes that nobody reads.
      const { socket } = line
      if (socket === null || socket.destroyed || socket.writableLength > 0 || isOld(line)) return line.end()
      const lines = idle.get(place)
      if (lines === undefined) idle.set(place, [line])
      else lines.push(line)
    },
    async close() {
      const closing = [...all.keys()].map((line) => new Promise<void>((resolve) => line.client.destroy(null, resolve)))
      for (const line of [...all.keys()]) line.end()
      await Promise.all(closing)
    },
  }
}

/** Whoever has shown a certificate on a socket speaks for its owner there. No origin holds a space. */
const placeOf = ({ origin }: URL, identity: TlsIdentity | null) =>
  identity === null ? origin : `${origin} ${identity.key}`

type LineOptions = LinesOptions & { onDisconnect: (line: Line) => void; onEnd: (line: Line) => void }

function newLine(
  url: URL,
  identity: TlsIdentity | null,
  { connector, maxHeaderBytes, idleMs, onDisconnect, onEnd }: LineOptions,
): Line {
  const ended = new AbortController()
  const target = targetOf(url)
  if (target === null) throw new EgressError('INTERNAL', `Cannot send to a ${url.protocol} URL.`)
  const client = new Client(url.origin, {
    allowH2: false,
    pipelining: 1,
    maxHeaderSize: maxHeaderBytes,
    // Ours is the one deadline; undici's body timeout would never end a drip anyway.
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: idleMs,
    // A receiver's `keep-alive: timeout=` may shorten the idle time, never lengthen it.
    keepAliveMaxTimeout: idleMs,
    connect: (_options, callback) => {
      line.opening = newOpening()
      line.served = 0
      connector(target, line.opening, ended.signal, line.deadlineAt, identity)
        .then(
          (socket) => {
            line.socket = socket
            line.openedAt = performance.now()
            // undici takes its own error for a closed socket as a reason to connect again, for ever: never let it see one.
            if (socket.destroyed) callback(new EgressError('RESET', 'The server closed the connection at once.'), null)
            else callback(null, socket)
          },
          (error) => callback(error, null),
        )
        .catch(() => line.end())
    },
  })
  const line: Line = {
    client,
    opening: newOpening(),
    socket: null,
    openedAt: performance.now(),
    served: 0,
    deadlineAt: 0,
    end() {
      if (ended.signal.aborted) return
      ended.abort()
      onEnd(line)
      client.destroy(new EgressError('INTERNAL', 'The request was given up.'), () => {})
    },
  }
  client.on('disconnect', () => onDisconnect(line))
  return line
}
