import { Buffer } from 'node:buffer'

/** The form of a signing secret in Standard Webhooks ("Symmetric signatures"): `whsec_` and the base64 of its key. */
const PREFIX = 'whsec_'
const MIN_KEY_BYTES = 24
const MAX_KEY_BYTES = 64

/** How many random bytes a new secret is made of. */
export const SECRET_BYTES = 32

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
