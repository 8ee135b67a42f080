import type { DetailedPeerCertificate } from 'node:tls'
import type { AttemptErrorClass } from '../../schema/outcomes.ts'

/** What the server showed of itself in a handshake that failed; everything in it is hostile until it is quoted. */
export type Shown = { hostname: string; certificate: DetailedPeerCertificate | null }

const CLASS_OF_CODE: Record<string, AttemptErrorClass> = {
  CERT_HAS_EXPIRED: 'TLS_EXPIRED',
  CERT_NOT_YET_VALID: 'TLS_EXPIRED',
  ERR_TLS_CERT_ALTNAME_INVALID: 'TLS_HOSTNAME',
  ERR_TLS_CERT_ALTNAME_FORMAT: 'TLS_HOSTNAME',
  HOSTNAME_MISMATCH: 'TLS_HOSTNAME',
  // Node's word for every verdict of OpenSSL that it has no name for, such as a key that is too small.
  UNSPECIFIED: 'TLS_UNTRUSTED',
  EPROTO: 'TLS_PROTOCOL',
}

// The other verdicts of X509_verify_cert as Node names them (node:tls, "X509 certificate error codes").
const UNTRUSTED =
  /^(UNABLE_TO_|DEPTH_ZERO_SELF_SIGNED_CERT$|SELF_SIGNED_CERT_IN_CHAIN$|CERT_|CRL_|INVALID_CA$|INVALID_PURPOSE$|PATH_LENGTH_EXCEEDED$|ERROR_IN_C)/

// RFC 8446, section 6.2: what a server says of a client's certificate: that it wants one, or does not take the one shown.
const OF_OUR_CERTIFICATE =
  /_ALERT_(NO_CERTIFICATE|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(REVOKED|EXPIRED|UNKNOWN|REQUIRED)|UNKNOWN_CA|ACCESS_DENIED)$/

/** The class of a fault in TLS by its code, or null when it is none. What nobody has a name for is TLS_PROTOCOL. */
export function classOfTls(code: string): AttemptErrorClass | null {
  if (CLASS_OF_CODE[code] !== undefined) return CLASS_OF_CODE[code]
  if (UNTRUSTED.test(code)) return 'TLS_UNTRUSTED'
  if (OF_OUR_CERTIFICATE.test(code)) return 'TLS_CLIENT_CERTIFICATE'
  return /^ERR_(SSL|TLS|OSSL)_/.test(code) ? 'TLS_PROTOCOL' : null
}

const ADVICE_ON_CODE: Record<string, string> = {
  ERR_SSL_WRONG_VERSION_NUMBER:
    'What the server answered is not TLS: the port speaks plain HTTP or something else. Check the port, or begin the URL with http://.',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'The server speaks no version of TLS from 1.2 on. Update it.',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'The server speaks no version of TLS from 1.2 on. Update it.',
  ERR_SSL_TLSV1_UNRECOGNIZED_NAME: 'The server ended the TLS handshake: it does not know the host name of the URL.',
  'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE':
    'The server ended the TLS handshake: it found no version, cipher or key exchange in common.',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'The certificate of the server is self-signed. Use one of a public authority.',
  UNSPECIFIED: 'The certificate of the server is not acceptable: its key or its signature is too weak, most likely.',
  CERT_REVOKED: 'The certificate of the server has been revoked by its authority. Replace it.',
}

/** Plain words for the owner of the server, or null when the class says all there is. */
export function adviceOnTls(code: string, { hostname, certificate }: Shown, now: Date): string | null {
  if (ADVICE_ON_CODE[code] !== undefined) return ADVICE_ON_CODE[code]
  if (certificate === null) return null
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') return adviceOnDates(certificate, now)
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return adviceOnNames(certificate, hostname)
  return adviceOnIssuer(code, certificate)
}

function adviceOnDates(certificate: DetailedPeerCertificate, now: Date): string | null {
  for (const each of chainOf(certificate)) {
    const what = each === certificate ? 'The certificate' : 'A certificate in the chain'
    const [from, to] = [new Date(each.valid_from), new Date(each.valid_to)]
    if (to < now) return `${what} of the server expired on ${dayOf(to)}. Renew it.`
    if (from > now) return `${what} of the server is not valid before ${dayOf(from)}. Use one that is valid now.`
  }
  return null
}

function adviceOnNames({ subjectaltname, subject }: DetailedPeerCertificate, hostname: string): string | null {
  // Node writes names that hold anything unusual as JSON strings, so that none can pass for two.
  const written = subjectaltname?.match(/(DNS|IP Address):("(\\.|[^"\\])*"|[^,]*)/g) ?? []
  const names = written.map((name) => name.replace(/^(DNS|IP Address):"?|"$/g, ''))
  if (subjectaltname === undefined && subject?.CN !== undefined) names.push(String(subject.CN))
  if (names.length === 0) return `The certificate of the server names no host, so not ${hostname} either.`
  const shown = names.slice(0, MOST_NAMES).map(quoted).join(', ')
  const more = names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : ''
  return `The certificate of the server is made out to ${shown}${more}, not to ${hostname}.`
}

function adviceOnIssuer(code: string, certificate: DetailedPeerCertificate): string | null {
  const { issuer } = chainOf(certificate).at(-1) as DetailedPeerCertificate
  const name = quoted(String(issuer?.CN ?? issuer?.O ?? ''))
  switch (code) {
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return `The server sent its certificate alone, and its issuer ${name} is no authority known here. Most often the intermediate certificate is missing: let the server send the full chain.`
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
      return `The certificate of the server comes from the authority ${name}, which is not trusted here. Use one of a public authority or, with a client certificate, one that ${CA_PEM} names.`
    default:
      return null
  }
}

// Of the endpoint's credentials.
const CA_PEM = '`clientCertificate.caPem`'
const MOST_NAMES = 3
const LONGEST_NAME = 80
// OpenSSL itself stops reading a chain at 100 KiB; a handful is what servers send.
const LONGEST_CHAIN = 10

/** The certificate, its issuer, and so on, as far as they are known. A root names itself as its issuer. */
function chainOf(certificate: DetailedPeerCertificate): DetailedPeerCertificate[] {
  const chain = [certificate]
  for (let each = certificate; chain.length < LONGEST_CHAIN; chain.push(each)) {
    if (!each.issuerCertificate || each.issuerCertificate === each) break
    each = each.issuerCertificate
  }
  return chain
}

const dayOf = (date: Date) => date.toISOString().slice(0, 10)

/** Text of the other side's: visible ASCII only, short, and recognisable as a quotation. */
function quoted(text: string): string {
  const visible = text.replace(/[^\x20-\x7e]/g, '?').replaceAll('"', "'")
  return `"${visible.length > LONGEST_NAME ? `${visible.slice(0, LONGEST_NAME)}...` : visible}"`
}
