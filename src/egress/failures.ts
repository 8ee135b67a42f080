import { errors } from 'undici'
import type { AttemptErrorClass } from '../../schema/outcomes.ts'
import { classOfTls } from './tls-failures.ts'

/** Why no complete answer came: a class for machines, a sentence of advice for the consumer. */
export type EgressFailure = { errorClass: AttemptErrorClass; message: string }

/** What the connector and the deadline throw; everything else is classified by its code or class. */
export class EgressError extends Error {
  readonly code: AttemptErrorClass

  constructor(code: AttemptErrorClass, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'EgressError'
    this.code = code
  }
}

const MESSAGES: Record<AttemptErrorClass, string> = {
  BLOCKED_ADDRESS: 'The host of the URL points to an address that is not allowed.',
  DNS: 'The host name could not be resolved. Check the spelling of the URL and the DNS records of the host.',
  CONNECT_TIMEOUT:
    'No connection came about in time. Check that the server is up and that no firewall drops our packets.',
  CONNECT_REFUSED:
    'The connection was refused: nothing listens on that port. Check that the server is up, and the port.',
  UNREACHABLE: 'There is no network route to the server.',
  TLS_EXPIRED: 'The certificate of the server has expired or is not valid yet. Renew it, or set the clock right.',
  TLS_UNTRUSTED:
    'The certificate of the server is not issued by a trusted authority, or its intermediate certificates are missing.',
  TLS_HOSTNAME: 'The certificate of the server is made out to another host name than that of the URL.',
  TLS_PROTOCOL: 'The TLS handshake failed. Check that the port speaks TLS, version 1.2 or newer.',
  TLS_CLIENT_CERTIFICATE:
    'The server asks for a client certificate, and this endpoint has none. Give it one, or let the server take requests without.',
  RESET:
    'The server closed the connection before status line and headers were complete. Look for crashes, restarts, limits on body size, and proxies that give up.',
  TIMEOUT: 'The server did not answer in time. Answer first and do the work afterwards.',
  PROTOCOL: 'What the server answered is not valid HTTP/1.1. Check that the port speaks HTTP.',
  HTTP_STATUS: 'The server answered with a status that is not 2xx.',
  HEADERS_TOO_LARGE: 'The headers of the answer are larger than 16 KiB. Set no cookies on this path.',
  OAUTH: 'No access token could be had from the token URL of this endpoint.',
  PROXY: 'The egress proxy failed.',
  INTERNAL: 'Something went wrong on our side.',
}

const CLASS_OF_CODE: Record<string, AttemptErrorClass> = {
  ECONNREFUSED: 'CONNECT_REFUSED',
  EHOSTUNREACH: 'UNREACHABLE',
  ENETUNREACH: 'UNREACHABLE',
  EHOSTDOWN: 'UNREACHABLE',
  // A machine without IPv6, or with a firewall of its own.
  EADDRNOTAVAIL: 'UNREACHABLE',
  EAFNOSUPPORT: 'UNREACHABLE',
  EPERM: 'UNREACHABLE',
  ENETDOWN: 'UNREACHABLE',
  EACCES: 'UNREACHABLE',
  ECONNRESET: 'RESET',
  ECONNABORTED: 'RESET',
  EPIPE: 'RESET',
  ENETRESET: 'RESET',
  ENOTCONN: 'RESET',
  // Node's words for writing to a socket that the other side has ended meanwhile.
  ERR_STREAM_WRITE_AFTER_END: 'RESET',
  ERR_STREAM_DESTROYED: 'RESET',
  ERR_STREAM_PREMATURE_CLOSE: 'RESET',
  ERR_SOCKET_CLOSED: 'RESET',
  ETIMEDOUT: 'TIMEOUT',
  UND_ERR_HEADERS_OVERFLOW: 'HEADERS_TOO_LARGE',
  UND_ERR_SOCKET: 'RESET',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'PROTOCOL',
}

// What llhttp finds wrong with an answer (its error codes, as undici hands them on), for the one who has to mend it.
const NO_STATUS_LINE = 'What the server answered does not begin with a status line of HTTP/1.1.'
const NO_LENGTH =
  'The answer leaves its length in doubt: Content-Length or Transfer-Encoding is malformed, repeated or both are there.'
const BAD_HEADER =
  'A header of the answer is malformed: a name, a colon, a value of printable characters and CR LF are needed.'
const ADVICE_ON_CODE: Record<string, string> = {
  HPE_INVALID_CONSTANT: NO_STATUS_LINE,
  HPE_INVALID_VERSION: NO_STATUS_LINE,
  HPE_INVALID_STATUS: NO_STATUS_LINE,
  HPE_INVALID_CONTENT_LENGTH: NO_LENGTH,
  HPE_UNEXPECTED_CONTENT_LENGTH: NO_LENGTH,
  HPE_INVALID_TRANSFER_ENCODING: NO_LENGTH,
  HPE_INVALID_HEADER_TOKEN: BAD_HEADER,
  HPE_LF_EXPECTED: BAD_HEADER,
  HPE_CR_EXPECTED: BAD_HEADER,
}
const SPEAKS_TLS = 'What the server answered is TLS, not HTTP. Begin the URL with https://, or check the port.'
// RFC 8446, section 5.1: a record of type alert or handshake, and the major version, which is 3 for ever.
const TLS_RECORDS = ['\x15\x03', '\x16\x03']

/** The class of whatever undici, the socket or the connector came up with, by its code or class, never by its text. */
export function classify(error: unknown): AttemptErrorClass {
  if (error instanceof EgressError) return error.code
  // Both come for malformed answers, without a code that says so: an assertion for 101 without an upgrade, the other for the
  // rest.
  if (error instanceof errors.HTTPParserError) return 'PROTOCOL'
  const code = (error as { code?: unknown } | null)?.code
  if (code === 'ERR_ASSERTION') return 'PROTOCOL'
  if (typeof code !== 'string') return 'INTERNAL'
  return CLASS_OF_CODE[code] ?? classOfTls(code) ?? 'INTERNAL'
}

/** The failure as it is recorded. Only our own errors bring their own words: others may quote what a consumer must not see. */
export function failureOf(error: unknown): EgressFailure {
  const errorClass = classify(error)
  if (error instanceof EgressError) return { errorClass, message: error.message }
  return { errorClass, message: adviceOn(error) ?? adviceFor(errorClass) }
}

function adviceOn(error: unknown): string | undefined {
  const { code, data } = (error ?? {}) as { code?: unknown; data?: unknown }
  if (error instanceof errors.HTTPParserError && TLS_RECORDS.some((bytes) => String(data).startsWith(bytes)))
    return SPEAKS_TLS
  return typeof code === 'string' ? ADVICE_ON_CODE[code] : undefined
}

export function adviceFor(errorClass: AttemptErrorClass): string {
  return MESSAGES[errorClass]
}
