import { isIP, type Socket } from 'node:net'
import { createSecureContext, type SecureContextOptions, connect as tlsConnect } from 'node:tls'
import { established } from './established.ts'
import type { Opening } from './opening.ts'

/** Makes an open connection a TLS one, to the server that the certificate must be made out to. */
export type Handshake = (tcp: Socket, hostname: string, opening: Opening, signal: AbortSignal) => Promise<Socket>

export function createHandshake(options: SecureContextOptions = {}): Handshake {
  // One context for all sockets: making one per socket parses the root certificates' settings again each time.
  let secureContext: ReturnType<typeof createSecureContext> | undefined
  return async (tcp, hostname, opening, signal) => {
    secureContext ??= createSecureContext(options)
    opening.phase = 'tls'
    const startedAt = performance.now()
    const socket = tlsConnect({
      socket: tcp,
      secureContext,
      host: hostname,
      // RFC 6066, section 3: no IP literals in SNI. The certificate is then checked against `host`.
      servername: isIP(hostname) === 0 ? hostname : '',
      ALPNProtocols: ['http/1.1'],
    })
    try {
      await established(socket, 'secureConnect', signal, null)
    } finally {
      opening.tlsMs = performance.now() - startedAt
    }
    opening.phase = 'open'
    return socket
  }
}
