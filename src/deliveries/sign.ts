import { Buffer } from 'node:buffer'
import { createHmac } from 'node:crypto'

/** What is signed: exactly the bytes that are sent, with the event's id and the attempt's time in Unix seconds. */
export type Signable = { id: string; timestamp: number; body: Buffer | string }

const PREFIX = 'whsec_'
const MIN_KEY_BYTES = 24
const MAX_KEY_BYTES = 64

/** How many random bytes a new secret is made of. */
export const SECRET_BYTES = 32

/**
 * The value of `webhook-signature`, Standard Webhooks v1 (specification, "Signature scheme" and "Signature header format"):
 * one HMAC-SHA256 of `{id}.{timestamp}.{body}` per secret, the order of the secrets kept, so the caller puts the newest first.
 */
export function signStandard({ id, timestamp, body }: Signable, secrets: readonly string[]): string {
  const head = `${id}.${timestamp}.`
  return secrets
    .map((secret) => `v1,${createHmac('sha256', keyOf(secret)).update(head).update(body).digest('base64')}`)
    .join(' ')
}

/** A new secret from `SECRET_BYTES` random bytes. */
export function generateSecret(random: Buffer): string {
  if (random.length !== SECRET_BYTES) throw new Error(`a secret is made of ${SECRET_BYTES} bytes, not ${random.length}`)
  return PREFIX + random.toString('base64')
}

/** The key in `whsec_…`, or null for anything but the base64 of 24 to 64 bytes ("Symmetric signatures"). */
export function parseSecret(secret: string): Buffer | null {
  if (!secret.startsWith(PREFIX)) return null
  const text = secret.slice(PREFIX.length)
  const key = Buffer.from(text, 'base64')
  // Node skips what is not base64; a verifier may not, and would then have another key. So only the canonical form counts.
  if (key.toString('base64') !== text) return null
  return key.length >= MIN_KEY_BYTES && key.length <= MAX_KEY_BYTES ? key : null
}

function keyOf(secret: string): Buffer {
  const key = parseSecret(secret)
  // Secrets are checked when they are saved. The message must not quote it.
  if (key === null) throw new Error('a stored signing secret is not whsec_ and the base64 of 24 to 64 bytes')
  return key
}
