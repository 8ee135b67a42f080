import { Buffer } from 'node:buffer'
import { createHmac, createSecretKey, type KeyObject, sign } from 'node:crypto'
import type { SignatureScheme } from '../../schema/states.ts'
import type { Header } from '../endpoints/headers.ts'
import { parsePrivateKey } from '../endpoints/key-pair.ts'
import { parseSecret } from '../endpoints/signing-secret.ts'

/** What is signed: exactly the bytes that are sent, with the event's id and the attempt's time in Unix seconds. */
export type Signable = { id: string; timestamp: number; body: Buffer | string }

/** What an endpoint's requests are signed with, the newest of each first, and how. */
export type Signing = {
  standard: boolean
  also: readonly { scheme: SignatureScheme; header: string }[]
  /** `whsec_…` */
  secrets: readonly string[]
  /** `whsk_…`; none where it is not signed with them. */
  privateKeys: readonly string[]
}

/**
 * The headers of Standard Webhooks, in the order in which they stand, and those of the other schemes. Without a signature of that
 * standard there is no timestamp either: it would be one that nobody signed. The id stays: by it receivers know each event again.
 */
export function signatureHeaders(signable: Signable, signing: Signing): { standard: Header[]; also: Header[] } {
  const { standard, also, secrets, privateKeys } = signing
  const signatures = [
    ...(standard ? [signStandard(signable, secrets)] : []),
    ...(privateKeys.length > 0 ? [signEd25519(signable, privateKeys)] : []),
  ]
  const signed: Header[] = [
    ['webhook-timestamp', String(signable.timestamp)],
    ['webhook-signature', signatures.join(' ')],
  ]
  return {
    standard: [['webhook-id', signable.id], ...(signatures.length > 0 ? signed : [])],
    also: also.map(({ scheme, header }) => [header, SCHEMES[scheme](signable, secrets)]),
  }
}

const SCHEMES: Record<SignatureScheme, (signable: Signable, secrets: readonly string[]) => string> = {
  TIMESTAMPED_HEX: signTimestampedHex,
  BODY_HEX: signBodyHex,
}

/**
 * Standard Webhooks v1 (specification, "Signature scheme" and "Signature header format"):
 * one HMAC-SHA256 of `{id}.{timestamp}.{body}` per secret, the order of the secrets kept, so the caller puts the newest first.
 */
export function signStandard({ id, timestamp, body }: Signable, secrets: readonly string[]): string {
  const head = `${id}.${timestamp}.`
  return secrets
    .map((secret) => `v1,${createHmac('sha256', keyOf(secret)).update(head).update(body).digest('base64')}`)
    .join(' ')
}

/** The same with Ed25519: v1a. */
export function signEd25519({ id, timestamp, body }: Signable, privateKeys: readonly string[]): string {
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), Buffer.from(body)])
  return privateKeys.map((key) => `v1a,${sign(null, content, privateKeyOf(key)).toString('base64')}`).join(' ')
}

/** `t=…,v1=…`, a `v1` for each secret: those who verify this scheme look through all of them. */
export function signTimestampedHex(
  { timestamp, body }: Pick<Signable, 'timestamp' | 'body'>,
  secrets: readonly string[],
): string {
  const signatures = secrets.map((secret) => `v1=${hexOf(secret, `${timestamp}.`, body)}`)
  return [`t=${timestamp}`, ...signatures].join(',')
}

/**
 * `sha256=…`: those who verify this scheme compare the whole value with one signature, so there can be only one. It is the oldest
 * secret's as long as that signs: a receiver that changes over within the overlap, and takes both until then, misses nothing. With
 * the newest it would have to know a secret that is only just being made.
 */
export function signBodyHex({ body }: Pick<Signable, 'body'>, secrets: readonly string[]): string {
  const oldest = secrets.at(-1)
  return oldest === undefined ? '' : `sha256=${hexOf(oldest, '', body)}`
}

/** With the whole of the secret as the receiver sees it, prefix and all, as verifiers of these schemes expect. */
const hexOf = (secret: string, head: string, body: Buffer | string) =>
  createHmac('sha256', textKeyOf(secret)).update(head).update(body).digest('hex')

// A key made ready once signs 1 KiB in 2 µs; made anew for each signature it takes 9. Bounded: tenants come and go.
const MOST_KEYS = 10_000
const keys = new Map<string, KeyObject>()

function known(name: string, make: () => KeyObject | null): KeyObject {
  const found = keys.get(name)
  if (found) return found
  const key = make()
  // Keys are checked when they are saved. The message must not quote it.
  if (key === null)
    throw new Error('a stored signing secret is not whsec_ and the base64 of 24 to 64 bytes, or no whsk_')
  if (keys.size >= MOST_KEYS) keys.clear()
  keys.set(name, key)
  return key
}

const keyOf = (secret: string) =>
  known(secret, () => {
    const bytes = parseSecret(secret)
    return bytes && createSecretKey(bytes)
  })

const privateKeyOf = (privateKey: string) => known(privateKey, () => parsePrivateKey(privateKey))

const textKeyOf = (secret: string) => known(`text ${secret}`, () => createSecretKey(Buffer.from(secret)))
