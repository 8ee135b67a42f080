import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { ErrorCode } from '../../schema/error-codes.ts'
import { createCounts } from './counts.ts'
import { networkOf } from './gate.ts'
import type { HttpLimits } from './limits.ts'
import type { Unread } from './unread.ts'

export type Connections = {
  /** Does `work` for a request when everything asked before on its connection was answered. */
  inTurn(request: IncomingMessage, response: ServerResponse, work: () => void): void
  /** An answer that lasts until one of the two leaves: a live subscription over SSE. `ended` is called when it is over, or was before it began. */
  isLive(response: ServerResponse, ended: () => void): void
  /** Lets what is being answered end within the time, and cuts off everything else. */
  close(withinMs: number): Promise<void>
}

/**
 * Knows the connections of a server, to be able to bound and to end them. Node's own `closeIdleConnections` leaves those on
 * which no request was ever sent, which browsers and fetch open ahead: closing would wait for them.
 */
export function watchConnections(server: Server, limits: HttpLimits, unread: Unread): Connections {
  const sockets = new Set<Socket>()
  const busy = new Set<Socket>()
  const live = new Set<ServerResponse>()
  const perAddress = createCounts()
  const turns = createTurns(limits.pipelined)
  const deadlines = new WeakMap<ServerResponse, NodeJS.Timeout>()
  let closing = false

  server.on('connection', (socket) => {
    const from = networkOf(socket.remoteAddress ?? null)
    if (sockets.size >= limits.connections) return refuseConnection(socket, 'are open already.')
    if (perAddress.of(from) >= limits.connectionsPerAddress) {
      return refuseConnection(socket, 'are open from this address already.')
    }
    sockets.add(socket)
    perAddress.add(from)
    socket.on('close', () => {
      sockets.delete(socket)
      perAddress.remove(from)
    })
  })
  server.prependListener('request', ({ socket }, response) => {
    busy.add(socket)
    countUnread(unread, socket, response)
    response.on('close', () => {
      clearTimeout(deadlines.get(response))
      busy.delete(socket)
      if (closing) socket.destroySoon()
    })
  })
  return {
    inTurn(request, response, work) {
      turns.take(request.socket, response, () => {
        // Whoever reads an answer byte by byte would have it lie about here for hours.
        deadlines.set(
          response,
          setTimeout(() => request.socket.destroy(), limits.answerMs),
        )
        work()
      })
    },
    isLive(response, ended) {
      if (response.destroyed) return ended()
      clearTimeout(deadlines.get(response))
      live.add(response)
      response.on('close', ended).on('close', () => live.delete(response))
    },
    async close(withinMs) {
      closing = true
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const response of live) response.destroy()
      for (const socket of sockets) if (!busy.has(socket)) socket.destroySoon()
      const deadline = setTimeout(() => server.closeAllConnections(), withinMs)
      await closed
      clearTimeout(deadline)
    },
  }
}

/** Counts what of an answer waits to be read, as long as it does. */
function countUnread(unread: Unread, socket: Socket, response: ServerResponse): void {
  const reader = { unreadBytes: () => response.writableLength, cut: () => socket.destroy() }
  const stopCounting = unread.add(reader)
  // All of it was written, and none of it taken yet.
  response.on('prefinish', () => unread.sent(reader))
  response.on('close', stopCounting)
}

/** One after another, for Node begins every request of a connection as soon as it has been read, a thousand at once. */
function createTurns(most: number) {
  const last = new WeakMap<Socket, { answered: Promise<unknown>; waiting: number }>()
  return {
    take(socket: Socket, response: ServerResponse, work: () => void): void {
      const before = last.get(socket)
      const waiting = before === undefined ? 0 : before.waiting + 1
      if (waiting > most) {
        socket.destroy()
        return
      }
      const answered = new Promise<void>((resolve) => {
        response.once('close', () => {
          const now = last.get(socket)
          if (now?.answered === answered) last.delete(socket)
          else if (now) now.waiting--
          resolve()
        })
      })
      last.set(socket, { answered, waiting })
      if (before === undefined) work()
      else before.answered.then(() => socket.destroyed || work())
    },
  }
}

function refuseConnection(socket: Socket, reason: string): void {
  const code: ErrorCode = 'TOO_MANY_CONNECTIONS'
  const body = JSON.stringify({ errors: [{ message: `As many connections as may ${reason}`, extensions: { code } }] })
  socket.on('error', () => {})
  socket.write(
    `HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\nRetry-After: 10\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
  socket.destroySoon()
}
