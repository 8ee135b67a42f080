import { errors } from 'undici'
import type { AttemptErrorClass } from '../../schema/outcomes.ts'

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
  TLS_CLIENT_CERTIFICATE: 'The server asks for a client certificate and did not accept what it got.',
  RESET: 'The server closed the connection before it had answered.',
  TIMEOUT: 'The server did not answer in time. Answer first and do the work afterwards.',
  PROTOCOL: 'What the server answered is not valid HTTP/1.1.',
  HTTP_STATUS: 'The server answered with a status that is not 2xx.',
  HEADERS_TOO_LARGE: 'The headers of the answer are larger than 16 KiB.',
  OAUTH: 'No access token could be had.',
  PROXY: 'The egress proxy failed.',
  INTERNAL: 'Something went wrong on our side.',
}

const CLASS_OF_CODE: Record<string, AttemptErrorClass> = {
  ECONNREFUSED: 'CONNECT_REFUSED',
  EHOSTUNREACH: 'UNREACHABLE',
  ENETUNREACH: 'UNREACHABLE',
  EHOSTDOWN: 'UNREACHABLE',
  ENETDOWN: 'UNREACHABLE',
  EACCES: 'UNREACHABLE',
  ECONNRESET: 'RESET',
  ECONNABORTED: 'RESET',
  EPIPE: 'RESET',
  ETIMEDOUT: 'TIMEOUT',
  CERT_HAS_EXPIRED: 'TLS_EXPIRED',
  CERT_NOT_YET_VALID: 'TLS_EXPIRED',
  ERR_TLS_CERT_ALTNAME_INVALID: 'TLS_HOSTNAME',
  ERR_TLS_CERT_ALTNAME_FORMAT: 'TLS_HOSTNAME',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'TLS_CLIENT_CERTIFICATE',
  EPROTO: 'TLS_PROTOCOL',
  UND_ERR_HEADERS_OVERFLOW: 'HEADERS_TOO_LARGE',
  UND_ERR_SOCKET: 'RESET',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'PROTOCOL',
}

// The other verdicts of X509_verify_cert as Node names them (node:tls, "X509 certificate error codes").
const UNTRUSTED =
  /^(UNABLE_TO_|DEPTH_ZERO_SELF_SIGNED_CERT$|SELF_SIGNED_CERT_IN_CHAIN$|CERT_|CRL_|INVALID_CA$|INVALID_PURPOSE$|PATH_LENGTH_EXCEEDED$|HOSTNAME_MISMATCH$|ERROR_IN_CERT_)/

/** The class of whatever undici, the socket or the connector came up with, by its code or class, never by its text. */
export function classify(error: unknown): AttemptErrorClass {
  if (error instanceof EgressError) return error.code
  // Both come for malformed answers, without a code that says so: an assertion for status 000, the other for the rest.
  if (error instanceof errors.HTTPParserError) return 'PROTOCOL'
  const code = (error as { code?: unknown } | null)?.code
  if (code === 'ERR_ASSERTION') return 'PROTOCOL'
  if (typeof code !== 'string') return 'INTERNAL'
  if (CLASS_OF_CODE[code] !== undefined) return CLASS_OF_CODE[code]
  if (UNTRUSTED.test(code)) return 'TLS_UNTRUSTED'
  if (code.startsWith('ERR_SSL_')) return 'TLS_PROTOCOL'
  return 'INTERNAL'
}

/** The failure as it is recorded. Only our own errors bring their own words: others may quote what a consumer must not see. */
export function failureOf(error: unknown): EgressFailure {
  const errorClass = classify(error)
  return { errorClass, message: error instanceof EgressError ? error.message : adviceFor(errorClass) }
}

export function adviceFor(errorClass: AttemptErrorClass): string {
  return MESSAGES[errorClass]
}
