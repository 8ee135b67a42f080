import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export type Connections = {
  /** An answer that lasts until one of the two leaves: a live subscription over SSE. */
  isLive(response: ServerResponse): void
  /** Lets what is being answered end within the time, and cuts off everything else. */
  close(withinMs: number): Promise<void>
}

/**
 * Knows the connections of a server, to be able to end them. Node's own `closeIdleConnections` leaves those on which no
 * request was ever sent, which browsers and fetch open ahead: closing would wait for them.
 */
export function watchConnections(server: Server): Connections {
  const sockets = new Set<Socket>()
  const busy = new Set<Socket>()
  const live = new Set<ServerResponse>()
  let closing = false

  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.prependListener('request', ({ socket }, response) => {
    busy.add(socket)
    response.on('close', () => {
      busy.delete(socket)
      if (closing) socket.destroySoon()
    })
  })
  return {
    isLive(response) {
      live.add(response)
      response.on('close', () => live.delete(response))
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
