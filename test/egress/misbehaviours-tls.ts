import type { Socket } from 'node:net'
import { createSecureContext, type SecureContextOptions, TLSSocket, type TLSSocketOptions } from 'node:tls'
import * as certificates from './certificates.ts'
import {
  AT_ONCE,
  AT_THE_DEADLINE,
  answers,
  answersAndCloses,
  CHUNKED,
  type Does,
  EMPTY,
  floods,
  greets,
  LAST,
  type Misbehaviour,
  OK,
  pour,
} from './misbehaviours.ts'

const { authority, valid } = certificates

/** Does it behind TLS, for which there is the connection beneath as well. */
export function behindTls(
  options: SecureContextOptions & Pick<TLSSocketOptions, 'requestCert' | 'rejectUnauthorized'>,
  does: (socket: TLSSocket, tcp: Socket) => void = answers(EMPTY),
): Does {
  const { requestCert, rejectUnauthorized, ...rest } = options
  let secureContext: ReturnType<typeof createSecureContext> | undefined
  return (tcp) => {
    secureContext ??= createSecureContext(rest)
    const server = {
      isServer: true,
      secureContext,
      requestCert: !!requestCert,
      rejectUnauthorized: !!rejectUnauthorized,
    }
    const socket = new TLSSocket(tcp, server)
    // Node leaves a server's socket open over an error after the handshake, and deaf.
    socket.on('error', () => tcp.destroy())
    does(socket, tcp)
  }
}

export const wantsCertificate = { ...valid, ca: authority, requestCert: true, rejectUnauthorized: true }
const tls12 = { maxVersion: 'TLSv1.2' } as const
const old = { ...valid, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const

/** Instead of its part of the handshake. */
export const saysAfterHello =
  (bytes: Buffer): Does =>
  (socket) =>
    socket.once('data', () => socket.resume().write(bytes))
/** RFC 8446, section 6: a record of type alert, level fatal. */
export const tlsAlert = (description: number) => Buffer.from([0x15, 3, 3, 0, 2, 2, description])
/** RFC 5246, section 7.4.1.1: a request to begin anew, which a client that has begun ignores; a thousand in one record. */
const helloRequests = Buffer.concat([Buffer.from([0x16, 3, 3, 0x0f, 0xa0]), Buffer.alloc(4000)])

const pours =
  (bytes: Buffer): Does =>
  (socket) =>
    socket.once('data', () => pour(socket.resume(), bytes))

/** Closed soon after: Node, which reads for TLS, does not always notice the end of such a connection. */
const speakPlainly = (tcp: Socket) => tcp.write(EMPTY, () => setTimeout(() => tcp.destroy(), 200))

/** Faults of certificates and of TLS, and faults behind it. */
export const TLS_FAULTS: readonly Misbehaviour[] = [
  ['a certificate that has expired', behindTls(certificates.expired), 'TLS_EXPIRED', AT_ONCE],
  ['a certificate of next century', behindTls(certificates.notYetValid), 'TLS_EXPIRED', AT_ONCE],
  ['an intermediate that has expired', behindTls(certificates.expiredIntermediate), 'TLS_EXPIRED', AT_ONCE],
  ['a certificate for another host', behindTls(certificates.forAnotherHost), 'TLS_HOSTNAME', AT_ONCE],
  ['a certificate for no host', behindTls(certificates.forNoHost), 'TLS_HOSTNAME', AT_ONCE],
  ['a self-signed certificate', behindTls(certificates.selfSigned), 'TLS_UNTRUSTED', AT_ONCE],
  ['an intermediate that is not sent', behindTls(certificates.withoutIntermediate), 'TLS_UNTRUSTED', AT_ONCE],
  ['an authority nobody knows', behindTls(certificates.ofAStranger), 'TLS_UNTRUSTED', AT_ONCE],
  ['a key that is too small', behindTls(certificates.weak), 'TLS_UNTRUSTED', AT_ONCE],
  ['TLS 1.1 at most', behindTls(old), 'TLS_PROTOCOL', AT_ONCE],
  ['wants a certificate, TLS 1.3', behindTls(wantsCertificate), 'TLS_CLIENT_CERTIFICATE', AT_ONCE],
  ['wants a certificate, TLS 1.2', behindTls({ ...wantsCertificate, ...tls12 }), 'TLS_CLIENT_CERTIFICATE', AT_ONCE],
  [
    'wants a certificate and resets',
    behindTls({ ...wantsCertificate, rejectUnauthorized: false }, (socket, tcp) => {
      socket.once('data', () => tcp.resetAndDestroy())
    }),
    'TLS_CLIENT_CERTIFICATE',
    AT_ONCE,
  ],
  ['would like a certificate', behindTls({ ...wantsCertificate, rejectUnauthorized: false }), 'delivered', AT_ONCE],
  ['an alert: handshake failure', saysAfterHello(tlsAlert(40)), 'TLS_PROTOCOL', AT_ONCE],
  ['an alert: certificate required', saysAfterHello(tlsAlert(116)), 'TLS_CLIENT_CERTIFICATE', AT_ONCE],
  ['an alert: internal error', saysAfterHello(tlsAlert(80)), 'TLS_PROTOCOL', AT_ONCE],
  ['an alert: unrecognized name', saysAfterHello(tlsAlert(112)), 'TLS_PROTOCOL', AT_ONCE],
  ['an alert nobody knows', saysAfterHello(tlsAlert(255)), 'TLS_PROTOCOL', AT_ONCE],
  ['plain HTTP', answersInPlain('HTTP/1.1 400 Bad Request\r\n\r\n'), 'TLS_PROTOCOL', AT_ONCE],
  ['a banner of SSH', greets('SSH-2.0-OpenSSH_9.2\r\n'), 'TLS_PROTOCOL', AT_ONCE],
  ['noise in the handshake', saysAfterHello(Buffer.alloc(500, 0xa5)), 'TLS_PROTOCOL', AT_ONCE],
  ['a record that is too long', saysAfterHello(Buffer.from([0x16, 3, 3, 0xff, 0xff, 2])), 'TLS_PROTOCOL', AT_ONCE],
  ['a ServerHello of 16 MiB', pours(Buffer.from([0x16, 3, 3, 0x40, 0, 2, 0xff, 0xff, 0xff])), 'TLS_PROTOCOL', AT_ONCE],
  ['endless requests to begin anew', pours(helloRequests), 'TLS_PROTOCOL', AT_ONCE],
  ['endless warnings', pours(Buffer.from([0x15, 3, 3, 0, 2, 1, 90])), 'TLS_PROTOCOL', AT_ONCE],
  ['a handshake that stalls', (socket) => socket.resume(), 'CONNECT_TIMEOUT', AT_THE_DEADLINE],
  [
    'a handshake that stalls half-way',
    saysAfterHello(Buffer.from([0x16, 3, 3, 0, 122, 2, 0, 0, 118])),
    'CONNECT_TIMEOUT',
    AT_THE_DEADLINE,
  ],
  ['closes before the handshake', (socket) => socket.destroy(), 'RESET', AT_ONCE],
  ['closes in the handshake', (socket) => socket.once('data', () => socket.end()), 'RESET', AT_ONCE],
  ['resets in the handshake', (socket) => socket.once('data', () => socket.resetAndDestroy()), 'RESET', AT_ONCE],
  [
    'closes after the handshake',
    behindTls(valid, (socket) => socket.on('secure', () => socket.end())),
    'RESET',
    AT_ONCE,
  ],
  [
    'resets after the handshake',
    behindTls(valid, (socket, tcp) => socket.on('secure', () => tcp.resetAndDestroy())),
    'RESET',
    AT_ONCE,
  ],
  [
    'begins anew after the handshake',
    behindTls({ ...valid, ...tls12 }, (socket) => {
      const again = () => void (socket.destroyed || socket.renegotiate({}, again))
      socket.on('secure', again).resume()
    }),
    'TLS_PROTOCOL',
    AT_ONCE,
  ],
  [
    'plain text after the handshake',
    behindTls(valid, (socket, tcp) => socket.on('secure', () => speakPlainly(tcp))),
    'TLS_PROTOCOL',
    AT_ONCE,
  ],
  ['answers before it is asked, behind TLS', behindTls({ ...valid, ...tls12 }, greets(LAST)), 'delivered', AT_ONCE],
  [
    'cuts the body off behind TLS',
    behindTls(valid, answersAndCloses(`${OK}content-length: 9\r\n\r\nhalf`)),
    'delivered',
    AT_ONCE,
  ],
  ['endless line breaks behind TLS', behindTls(valid, floods('', '\r\n')), 'PROTOCOL', AT_ONCE],
  ['an endless body behind TLS', behindTls(valid, floods(CHUNKED, '1\r\nx\r\n')), 'delivered', AT_ONCE],
  ['says nothing behind TLS', behindTls(valid, (socket) => socket.resume()), 'TIMEOUT', AT_THE_DEADLINE],
]

function answersInPlain(bytes: string): Does {
  return (socket) => socket.once('data', () => socket.end(bytes))
}
