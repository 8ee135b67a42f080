import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import type { ShownCertificate } from '../../schema/tables/endpoint-credentials.ts'
import { Mistake, readAll } from '../mistake.ts'

/** What an endpoint is shown in a TLS handshake, in PEM; with `caPem`, its own certificate must come from those. */
export type ClientCertificate = { certificatePem: string; privateKeyPem: string; caPem: string | null }

export type ClientCertificateInput = {
  certificatePem: string
  privateKeyPem: string
  caPem?: string | null | undefined
}

const LONGEST_PEM = 64 * 1024
const MOST_CERTIFICATES = 20
// Authorities date certificates back by more than clocks are apart, most of them.
const CLOCK_SKEW_MS = 5 * 60_000

/** What a caller gives, checked: it parses, belongs together and is valid now. Mistakes never quote it. */
export function readClientCertificate(
  { certificatePem, privateKeyPem, caPem }: ClientCertificateInput,
  path: readonly string[],
  now: Date,
): ClientCertificate {
  const { chain, authorities, key } = readAll({
    chain: () => readCertificates(certificatePem, [...path, 'certificatePem'], now),
    authorities: () =>
      caPem === null || caPem === undefined ? null : readCertificates(caPem, [...path, 'caPem'], now),
    key: () => readKey(privateKeyPem, [...path, 'privateKeyPem']),
  })
  if (!chain[0].checkPrivateKey(key)) {
    const message =
      'The private key does not belong to the first certificate of `certificatePem`, which must be the client’s own; those of its issuers follow it.'
    throw wrong([...path, 'privateKeyPem'], message)
  }
  const checked = {
    certificatePem: pemOf(chain),
    privateKeyPem: key.export({ type: 'pkcs8', format: 'pem' }) as string,
    caPem: authorities && pemOf(authorities),
  }
  checkUsable(checked, path)
  return checked
}

/** What of it may be seen. */
export function shownCertificate({ certificatePem, caPem }: ClientCertificate): ShownCertificate {
  const [own] = parse(certificatePem) as [X509Certificate]
  return {
    subject: nameIn(own.subject),
    issuer: nameIn(own.issuer),
    serialNumber: own.serialNumber,
    validFrom: new Date(own.validFrom).toISOString(),
    validTo: new Date(own.validTo).toISOString(),
    fingerprint: own.fingerprint256,
    authorities: caPem === null ? [] : parse(caPem).map(({ subject }) => nameIn(subject)),
  }
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g

type Chain = [X509Certificate, ...X509Certificate[]]

function readCertificates(pem: string, path: readonly string[], now: Date): Chain {
  if (pem.length > LONGEST_PEM)
    throw wrong(path, `PEM of ${pem.length} characters: at most ${LONGEST_PEM} are allowed.`)
  const labels = [...pem.matchAll(BLOCK)].map(([, label]) => label)
  if (labels.some((label) => label !== 'CERTIFICATE')) {
    throw wrong(
      path,
      'Only certificates belong here ("-----BEGIN CERTIFICATE-----"), and this holds something else too.',
    )
  }
  if (labels.length === 0 || labels.length > MOST_CERTIFICATES) {
    const message = `One to ${MOST_CERTIFICATES} certificates in PEM are needed, each from "-----BEGIN CERTIFICATE-----" to "-----END CERTIFICATE-----".`
    throw wrong(path, message)
  }
  const certificates = parsed(pem, path)
  for (const certificate of certificates) checkDates(certificate, path, now)
  return certificates
}

function parsed(pem: string, path: readonly string[]): Chain {
  try {
    return parse(pem) as Chain
  } catch {
    throw wrong(path, 'A certificate in here cannot be read: what stands between its first and last line is damaged.')
  }
}

const parse = (pem: string) => [...pem.matchAll(BLOCK)].map(([block]) => new X509Certificate(block))
const pemOf = (certificates: readonly X509Certificate[]) => certificates.map((each) => each.toString()).join('')

function checkDates(certificate: X509Certificate, path: readonly string[], now: Date): void {
  const [from, to] = [new Date(certificate.validFrom), new Date(certificate.validTo)]
  const what = `The certificate of ${JSON.stringify(nameIn(certificate.subject))}`
  if (to < now) throw wrong(path, `${what} expired on ${to.toISOString().slice(0, 10)}: give one that is valid.`)
  if (from.getTime() <= now.getTime() + CLOCK_SKEW_MS) return
  throw wrong(path, `${what} is not valid before ${from.toISOString().slice(0, 10)}: give it when it is.`)
}

function readKey(pem: string, path: readonly string[]): KeyObject {
  if (pem.length > LONGEST_PEM)
    throw wrong(path, `PEM of ${pem.length} characters: at most ${LONGEST_PEM} are allowed.`)
  if (pem.includes('ENCRYPTED')) {
    throw wrong(path, 'The private key is encrypted: give it decrypted, as from `openssl pkey -in key.pem`.')
  }
  try {
    return createPrivateKey({ key: pem, format: 'pem' })
  } catch {
    // Never with the cause: nobody knows what OpenSSL quotes.
    throw wrong(
      path,
      'This is no private key in PEM ("-----BEGIN PRIVATE KEY-----", or with RSA or EC before PRIVATE).',
    )
  }
}

/** What TLS itself has against it, such as a key that is too small. */
function checkUsable({ certificatePem, privateKeyPem, caPem }: ClientCertificate, path: readonly string[]): void {
  try {
    createSecureContext({ cert: certificatePem, key: privateKeyPem, ...(caPem === null ? {} : { ca: caPem }) })
  } catch (error) {
    const code = String((error as NodeJS.ErrnoException).code)
    const why = /_KEY_TOO_SMALL$|_MD_TOO_WEAK$/.test(code)
      ? 'its key or its signature is too weak'
      : 'TLS cannot use it'
    throw wrong([...path, 'certificatePem'], `The certificate is not acceptable: ${why}. RSA keys need 2,048 bits.`)
  }
}

const LONGEST_NAME = 500

/** The lines of a distinguished name as one, in visible ASCII: `CN=client, O=Acme`. */
function nameIn(subject: string | undefined): string {
  const name = (subject ?? '').split('\n').join(', ')
  return name.replace(/[^\x20-\x7e]/g, '?').slice(0, LONGEST_NAME)
}

const wrong = (path: readonly string[], message: string) => new Mistake('INVALID_INPUT', [...path], message)
