import { createPrivateKey, type KeyObject, sign, verify, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import type { ShownCertificate } from '../../schema/tables/endpoint-credentials.ts'
import { type Optional, wrong } from '../input.ts'
import { readAll } from '../mistake.ts'
import { elementsIn } from './der.ts'

/** What an endpoint is shown in a TLS handshake, in PEM; with `caPem`, its own certificate must come from those. */
export type ClientCertificate = { certificatePem: string; privateKeyPem: string; caPem: string | null }

export type ClientCertificateInput = {
  certificatePem: string
  privateKeyPem: string
  caPem?: Optional<string>
}

const LONGEST_PEM = 64 * 1024
const MOST_CERTIFICATES = 20
// Of DER, all certificates of one field together. An authority has some 70, at most 113 of those that browsers trust. What a certificate costs goes
// by them: with 12,500 names, in the 64 KiB, it took 20 ms and 2.8 MB each time a TLS context was made for a connection.
const MOST_ELEMENTS = 3000
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
  if (!chain[0].checkPrivateKey(key) || !signsFor(key, chain[0].publicKey)) {
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

type Chain = [X509Certificate, ...X509Certificate[]]

function readCertificates(pem: string, path: readonly string[], now: Date): Chain {
  if (pem.length > LONGEST_PEM)
    throw wrong(path, `PEM of ${pem.length} characters: at most ${LONGEST_PEM} are allowed.`)
  const labels = blocksIn(pem).map(({ label }) => label)
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
  const elements = certificates.reduce((sum, { raw }) => sum + elementsIn(raw), 0)
  if (elements > MOST_ELEMENTS) {
    const message = `There is too much in the certificates: ${elements} names and other elements, where ${MOST_ELEMENTS} are allowed.`
    throw wrong(path, message)
  }
  for (const certificate of certificates) checkDates(certificate, path, now)
  for (const certificate of certificates) checkPublicKey(certificate, path)
  return certificates
}

function parsed(pem: string, path: readonly string[]): Chain {
  try {
    return parse(pem) as Chain
  } catch {
    throw wrong(path, 'A certificate in here cannot be read: what stands between its first and last line is damaged.')
  }
}

const parse = (pem: string) => blocksIn(pem).map(({ block }) => new X509Certificate(block))
const pemOf = (certificates: readonly X509Certificate[]) => certificates.map((each) => each.toString()).join('')

const [BEGIN, END, DASHES] = ['-----BEGIN ', '-----END ', '-----']

/**
 * What stands in some PEM, each from its first line to its last; one that does not end is none, and nothing behind it is. Each
 * character is looked at a few times only: a regular expression for it takes 270 ms for 64 KiB of first lines.
 */
function blocksIn(pem: string): { label: string; block: string }[] {
  const blocks: { label: string; block: string }[] = []
  for (let at = pem.indexOf(BEGIN); at !== -1; ) {
    const labelAt = at + BEGIN.length
    const labelEnd = pem.indexOf(DASHES, labelAt)
    if (labelEnd === -1) break
    const label = pem.slice(labelAt, labelEnd)
    const last = `${END}${label}${DASHES}`
    const end = pem.indexOf(last, labelEnd)
    if (end === -1) break
    blocks.push({ label, block: pem.slice(at, end + last.length) })
    at = pem.indexOf(BEGIN, end + last.length)
  }
  return blocks
}

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
  const key = parsedKey(pem, path)
  if (isBearable(key, LARGEST_RSA)) return key
  throw wrong(path, `The private key is of a kind or size that is not taken: ${KEYS_TAKEN}.`)
}

function parsedKey(pem: string, path: readonly string[]): KeyObject {
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

// A signature in a handshake is made by the thread that serves everybody: 4,096 bits take it some 8 ms, 8,192 already 300,
// 32,768 half a minute. What issuers have signed is only verified, which costs far less.
const [SMALLEST_RSA, LARGEST_RSA, LARGEST_RSA_OF_ISSUERS] = [2048, 4096, 8192]
const CURVES = ['prime256v1', 'secp384r1', 'secp521r1']
const KEYS_TAKEN =
  'RSA keys have 2,048 to 4,096 bits, EC keys are on P-256, P-384 or P-521, and Ed25519 is the third kind'

/** Whether reckoning with a key, private or public, holds up nobody, and it is strong enough. */
function isBearable({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject, largest: number): boolean {
  if (type === 'ed25519') return true
  if (type === 'ec') return CURVES.includes(details?.namedCurve ?? '')
  const bits = details?.modulusLength ?? 0
  return (type === 'rsa' || type === 'rsa-pss') && bits >= SMALLEST_RSA && bits <= largest
}

/** Whether what the key signs is verified by the other: that both have the same modulus does not say so. */
function signsFor(key: KeyObject, publicKey: KeyObject): boolean {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  const hash = type === 'ed25519' ? null : (details?.hashAlgorithm ?? 'sha256')
  const probe = Buffer.from('a probe')
  try {
    return verify(hash, probe, publicKey, sign(hash, probe, key))
  } catch {
    return false
  }
}

function checkPublicKey(certificate: X509Certificate, path: readonly string[]): void {
  const largest = certificate.ca ? LARGEST_RSA_OF_ISSUERS : LARGEST_RSA
  try {
    if (isBearable(certificate.publicKey, largest)) return
  } catch {
    // Of a kind that OpenSSL does not know.
  }
  const what = `The key in the certificate of ${JSON.stringify(nameIn(certificate.subject))}`
  const more = certificate.ca ? ', authorities’ RSA keys up to 8,192' : ''
  throw wrong(path, `${what} is too weak, too large or of a kind that is not taken: ${KEYS_TAKEN}${more}.`)
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
