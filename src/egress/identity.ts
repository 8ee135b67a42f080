import type { AttemptErrorClass } from '../../schema/outcomes.ts'
import { classify, EgressError } from './failures.ts'

/** Who we are in a TLS handshake. */
export type TlsIdentity = {
  /** Nothing secret. A socket that was opened with one identity serves no request with another `key`, or without any. */
  key: string
  /** The client's certificate, followed by those of its issuers that the server does not have. */
  certificatePem: string
  privateKeyPem: string
  /** The authorities that the server's certificate must come from, in place of those trusted otherwise. */
  caPem: string | null
}

const REFUSED =
  'The server did not accept the client certificate of this endpoint. Check that it is one that the server trusts, and still valid.'
const CLOSED =
  'The server closed the connection as soon as it was shown the client certificate of this endpoint: most likely it does not accept it. If it does, look for crashes and restarts.'
const UNTRUSTED =
  'The certificate of the server does not come from an authority in `caPem` of the client certificate of this endpoint: only those are trusted here.'

/** The failure of a request that showed a certificate: the usual words are for those who have none to show. */
export function inTheLightOf(identity: TlsIdentity | null | undefined, error: Error): Error {
  if (!identity) return error
  const errorClass = classify(error)
  const told = (message: string) => new EgressError(errorClass satisfies AttemptErrorClass, message, { cause: error })
  // A reset under a guess, see `refine`; anything else is an alert about the certificate.
  if (errorClass === 'TLS_CLIENT_CERTIFICATE') return told(isReset(error.cause) ? CLOSED : REFUSED)
  return errorClass === 'TLS_UNTRUSTED' && identity.caPem !== null ? told(UNTRUSTED) : error
}

const isReset = (cause: unknown) => cause !== undefined && classify(cause) === 'RESET'
