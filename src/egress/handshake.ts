import { isIP, type Socket } from 'node:net'
import {
  type DetailedPeerCertificate,
  type SecureContextOptions,
  type TLSSocket,
  connect as tlsConnect,
} from 'node:tls'
import { createContexts } from './contexts.ts'
import { established } from './established.ts'
import { adviceFor, classify, EgressError } from './failures.ts'
import type { TlsIdentity } from './identity.ts'
import type { Opening } from './opening.ts'
import { adviceOnTls } from './tls-failures.ts'

/** Makes an open connection a TLS one, to the server that the certificate must be made out to. */
export type Handshake = (
  tcp: Socket,
  hostname: string,
  opening: Opening,
  signal: AbortSignal,
  identity?: TlsIdentity | null,
) => Promise<Socket>

export function createHandshake(options: SecureContextOptions = {}): Handshake {
  const contextFor = createContexts(options)
  return async (tcp, hostname, opening, signal, identity = null) => {
    const secureContext = contextFor(identity)
    opening.phase = 'tls'
    const startedAt = performance.now()
    const socket = tlsConnect({
      socket: tcp,
      secureContext,
      host: hostname,
      // RFC 6066, section 3: no IP literals in SNI. The certificate is then checked against `host`.
      servername: isIP(hostname) === 0 ? hostname : '',
      ALPNProtocols: ['http/1.1'],
      // Said aloud, because NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment would otherwise switch it off without a word.
      rejectUnauthorized: true,
    })
    const seen = watch(socket, tcp)
    try {
      await established(socket, 'secureConnect', signal, null)
    } catch (error) {
      throw explained(error, seen, hostname, identity !== null && asksForCertificate(socket))
    } finally {
      clearInterval(seen.timer)
      opening.tlsMs = performance.now() - startedAt
    }
    carriers.set(socket, tcp)
    opening.phase = 'open'
    return socket
  }
}

/** How many bytes have come in, those that TLS swallows included. */
export function bytesReceived(socket: Socket): number {
  return (carriers.get(socket) ?? socket).bytesRead
}

/** Whether the server asked for a certificate of ours in the handshake. */
export function asksForCertificate(socket: Socket): boolean {
  return asking.has(socket)
}

const carriers = new WeakMap<Socket, Socket>()
const asking = new WeakSet<Socket>()

// A record of TLS with an alert in it, which is the shortest there is.
const ALERT_BYTES = 7
// OpenSSL refuses chains over 100 KiB; but records that say nothing (HelloRequest) it swallows, 300 MB of them a second.
const MOST_BYTES = 256 * 1024
const LOOK_EVERY_MS = 20
// What lies between splits a ServerHello where it likes, and sends the rest a moment later, or again if it was lost.
const ENDED_AFTER_MS = 500

type Seen = {
  received(): number
  certificate: DetailedPeerCertificate | null
  fault: EgressError | null
  timer: NodeJS.Timeout
}

/** Keeps what a failed handshake is explained by, and ends one that Node and OpenSSL would let go on. */
function watch(socket: TLSSocket, tcp: Socket): Seen {
  const before = tcp.bytesRead
  let [last, quietSince] = [0, performance.now()]
  const end = (message: string) => {
    seen.fault = new EgressError('TLS_PROTOCOL', message)
    socket.destroy(seen.fault)
  }
  const look = () => {
    const received = tcp.bytesRead - before
    if (received !== last) quietSince = performance.now()
    last = received
    // An alert that Node has no name for is not reported at all: it waits on for a handshake that is over.
    if (received === ALERT_BYTES && performance.now() - quietSince > ENDED_AFTER_MS)
      end('The server ended the TLS handshake, for no reason it named.')
    else if (received > MOST_BYTES) end('The server sent more in the TLS handshake than belongs there.')
  }
  const seen: Seen = {
    received: () => tcp.bytesRead - before,
    certificate: null,
    fault: null,
    timer: setInterval(look, LOOK_EVERY_MS),
  }
  // Before Node's own listener, which verifies and, when that fails, destroys the socket and with it the certificate. It
  // is only looked at here; the verdict stays Node's. Not getPeerX509Certificate(): after it, Node 24 finds no certificate.
  socket.prependListener('secure', () => {
    seen.certificate = socket.getPeerCertificate(true)
    noteRequest(socket)
  })
  // In TLS 1.2 a server may hang up over a certificate before the handshake is done. Before Node's own listener, too.
  socket.prependListener('end', () => noteRequest(socket))
  return seen
}

/** Only a CertificateRequest tells a client which signatures the server would take. */
function noteRequest(socket: TLSSocket): void {
  if ((socket.getSharedSigalgs() ?? []).length > 0) asking.add(socket)
}

/** The error in the words of TLS: whatever ends a handshake is the server's doing, never INTERNAL. */
function explained(
  error: unknown,
  { certificate, received, fault }: Seen,
  hostname: string,
  shownCertificate: boolean,
): unknown {
  if (fault !== null) return fault
  const code = String((error as NodeJS.ErrnoException).code)
  // TLS 1.2 has no alert of its own for it. But a server that has sent its certificate has agreed to all there is to agree
  // to, save the client's certificate.
  if (code.endsWith('_ALERT_HANDSHAKE_FAILURE') && received() > ALERT_BYTES) {
    return new EgressError('TLS_CLIENT_CERTIFICATE', adviceFor('TLS_CLIENT_CERTIFICATE'), { cause: error })
  }
  const errorClass = classify(error)
  if (errorClass === 'RESET' && shownCertificate) {
    return new EgressError('TLS_CLIENT_CERTIFICATE', adviceFor('TLS_CLIENT_CERTIFICATE'), { cause: error })
  }
  if (errorClass === 'RESET') {
    return new EgressError('RESET', 'The server closed the connection during the TLS handshake.', { cause: error })
  }
  if (error instanceof EgressError) return error
  const of = errorClass !== 'INTERNAL' ? errorClass : certificate === null ? 'TLS_PROTOCOL' : 'TLS_UNTRUSTED'
  const advice = adviceOnTls(code, { hostname, certificate }, new Date())
  return new EgressError(of, advice ?? adviceFor(of), { cause: error })
}
