import type { Context, makeServer } from 'graphql-ws'
import type { WebSocket } from 'ws'
import type { Log } from '../log.ts'
import type { Viewer } from '../tenants/access.ts'
import type { CallerWatch } from '../tenants/watch.ts'
import { type HttpLimits, SIZES } from './limits.ts'
import { createMessageReader } from './messages.ts'
import type { Unread } from './unread.ts'

/** What is known of the one behind a WebSocket. */
export type Guest = {
  address: string | null
  /** Whose key was shown last; null before a valid one was. */
  caller: Viewer['id'] | null
  /** Nobody with that key is here any more: it was revoked, or has expired. */
  over: boolean
  /** The socket is closed: there is nobody to end. */
  gone: boolean
  stopWatching(): void
  /** A valid key was shown. */
  trusted(): void
  end(code: number, reason: string): void
}
export type Connection = Context<Record<string, unknown>, Guest>
export type Protocol = ReturnType<typeof makeServer<Record<string, unknown>, Guest>>

export type ServeOptions = {
  protocol: Protocol
  address: string | null
  place: { trusted(): void; leave(): void }
  log: Log
  limits: HttpLimits
  unread: Unread
}

const UNAUTHORIZED = 4401
const UNSUPPORTED = 1003
const NO_KEY = 'No valid API key or portal session was shown'

/** What graphql-ws does for `ws` itself, but for its talking to the console whenever a client misbehaves. */
export function serve(socket: WebSocket, options: ServeOptions): void {
  const { protocol, log, limits, unread } = options
  const { guest, leave } = receive(socket, options)
  const reader = { unreadBytes: () => socket.bufferedAmount, cut: () => socket.terminate() }
  const stopCounting = unread.add(reader)
  const read = createMessageReader(limits)
  let messages = 0
  const closed = protocol.opened(
    {
      protocol: socket.protocol,
      send: async (text) => {
        if (socket.readyState !== socket.OPEN) return
        const sent = send(socket, text)
        endUnread(socket, guest, limits)
        unread.sent(reader)
        await sent
      },
      close: (code, reason) => socket.close(code, reason),
      onMessage: (handle) =>
        socket.on('message', (message: Buffer, isBinary) => {
          // Bytes that are no UTF-8 would become other text silently; in a text frame they have been refused already.
          if (isBinary) return socket.close(UNSUPPORTED, 'Send messages as text')
          // Before a key was shown, what is long enough to cost something is not even parsed.
          const tooMuch = () => message.length > SIZES.usualMessage || ++messages > SIZES.strangerMessages
          if (guest.caller === null && tooMuch()) return socket.close(UNAUTHORIZED, NO_KEY)
          if (socket.readyState !== socket.OPEN) return
          const found = read(message)
          if ('code' in found) return socket.close(found.code, found.reason)
          // Parsed already: it takes that as well as text.
          handle(found.message as never).catch((err: unknown) => {
            log.debug({ err }, 'A message over WebSocket could not be handled')
            socket.close(4500, 'Internal server error')
          })
        }),
    },
    guest,
  )
  const stopPinging = keepAlive(socket, limits)
  socket.on('ping', () => endUnread(socket, guest, limits))
  socket.on('error', (err) => log.debug({ err }, 'A WebSocket broke'))
  socket.on('close', (code, reason) => {
    leave()
    stopPinging()
    stopCounting()
    closed(code, String(reason)).catch((err: unknown) => log.debug({ err }, 'A WebSocket was not closed properly'))
  })
}

/** Whoever opens a socket is a stranger, and has so long to show a key. */
function receive(socket: WebSocket, { address, place, limits }: Pick<ServeOptions, 'address' | 'place' | 'limits'>) {
  const deadline = setTimeout(() => socket.close(UNAUTHORIZED, NO_KEY), limits.strangerMs)
  const guest: Guest = {
    address,
    caller: null,
    over: false,
    gone: false,
    stopWatching() {},
    trusted() {
      clearTimeout(deadline)
      place.trusted()
    },
    end: (code, reason) => socket.close(code, reason),
  }
  const leave = () => {
    guest.gone = true
    clearTimeout(deadline)
    guest.stopWatching()
    place.leave()
  }
  return { guest, leave }
}

/** Notes who it is, to end the socket when that key or portal session ends. */
export function trust(connection: Connection, viewer: Viewer, callers: Pick<CallerWatch, 'watch'>): void {
  const { extra: guest } = connection
  guest.over = false
  if (guest.gone || guest.caller === viewer.id) return
  guest.stopWatching()
  guest.trusted()
  guest.caller = viewer.id
  guest.stopWatching = callers.watch(viewer, () => {
    guest.caller = null
    guest.over = true
    endWhenUnused(connection)
  })
}

/** Closes the socket of a caller whose key has ended, unless operations are under way on it, with another one. */
export function endWhenUnused({ extra: guest, subscriptions }: Connection): void {
  if (guest.over && Object.keys(subscriptions).length === 0)
    guest.end(UNAUTHORIZED, 'The API key or portal session is no longer valid')
}

/** Nothing here holds the text itself until it was sent: it would be in memory twice. */
function send(socket: WebSocket, text: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.send(text, (error) => (error ? reject(error) : resolve()))
  return promise
}

/** A peer that asks and does not read would fill the memory with what it leaves unread. */
function endUnread(socket: WebSocket, { caller }: Guest, { unreadBytes }: HttpLimits): void {
  if (socket.bufferedAmount > (caller === null ? SIZES.strangerUnread : unreadBytes)) socket.terminate()
}

/** A peer that vanished without a word is noticed by its silence. */
function keepAlive(socket: WebSocket, { pingMs }: HttpLimits): () => void {
  let pings = 0
  let answered = true
  // Only the answer to the last ping: others can be sent without reading anything.
  socket.on('pong', (data) => {
    if (String(data) === String(pings)) answered = true
  })
  const timer = setInterval(() => {
    if (!answered) return socket.terminate()
    answered = false
    socket.ping(String(++pings))
  }, pingMs)
  return () => clearInterval(timer)
}
