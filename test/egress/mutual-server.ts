import { once } from 'node:events'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { onTestFinished } from 'vitest'
import { authority, valid } from './certificates.ts'

export type Version = 'TLSv1.2' | 'TLSv1.3'
/** A request: whose certificate came with it, on which socket, counted from 0. */
type Seen = { path: string; name: string | null; socket: number; authorization: string | undefined }

/** A server of node:https that asks for certificates and notes each request, closed with the test. */
export async function mutualServer({
  must = true,
  maxVersion = 'TLSv1.3',
}: {
  must?: boolean
  maxVersion?: Version
} = {}) {
  const seen: Seen[] = []
  const sockets: unknown[] = []
  const options = { ...valid, ca: authority, requestCert: true, rejectUnauthorized: must, maxVersion }
  const server = createServer(options, (request, response) => {
    const socket = request.socket as TLSSocket
    if (!sockets.includes(socket)) sockets.push(socket)
    const name = socket.getPeerCertificate().subject?.CN?.toString() ?? null
    const { url: path = '', headers } = request
    seen.push({ path, name, socket: sockets.indexOf(socket), authorization: headers.authorization })
    request.resume().on('end', () => response.end())
  })
  server.keepAliveTimeout = 60_000
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return { port: (server.address() as AddressInfo).port, seen }
}
