import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { onTestFinished } from 'vitest'

/** What to do with a connection once the first bytes are in. */
export type Behaviour = (socket: Socket, head: string) => void

/** A proxy on loopback that notes what it is asked, and brings every tunnel to one port of loopback. */
export async function startProxy({
  to = 0,
  certificate = null,
  behave,
}: {
  to?: number
  certificate?: TlsOptions | null
  behave?: Behaviour
} = {}) {
  const heads: string[] = []
  const tunnel: Behaviour = (socket) => {
    const onward = connect({ host: '127.0.0.1', port: to }, () => {
      socket.write('HTTP/1.1 200 Connection established\r\nVia: proxy\r\n\r\n')
      socket.pipe(onward).pipe(socket)
    })
    onward.on('error', () => socket.destroy())
  }
  const serve = (socket: Socket) => {
    socket.on('error', () => {})
    socket.once('data', (chunk) => {
      heads.push(chunk.toString('latin1'))
      ;(behave ?? tunnel)(socket, chunk.toString('latin1'))
    })
  }
  const server = certificate ? createTlsServer(certificate, serve) : createServer(serve)
  server.on('tlsClientError', () => {})
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { heads, sockets, port: (server.address() as AddressInfo).port }
}
