import { Buffer } from 'node:buffer'
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'

/** The form of Ed25519 keys in Standard Webhooks ("Asymmetric signatures"): `whsk_` seed‖public, `whpk_` public, in base64. */
const PRIVATE_PREFIX = 'whsk_'
const PUBLIC_PREFIX = 'whpk_'

/** How many random bytes a key pair is made of (RFC 8032, section 5.1.5). */
export const SEED_BYTES = 32
const PUBLIC_BYTES = 32
// RFC 8410, section 7: what stands before the seed in PKCS #8.
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex')

/** `privateKey`: `whsk_…`. `publicKey`: its 32 bytes. */
export type KeyPair = { privateKey: string; publicKey: Buffer }

/** The key pair of `SEED_BYTES` random bytes. */
export function keyPairOf(seed: Buffer): KeyPair {
  if (seed.length !== SEED_BYTES) throw new Error(`a key pair is made of ${SEED_BYTES} bytes, not ${seed.length}`)
  const { x } = createPublicKey(privateKeyOf(seed)).export({ format: 'jwk' })
  const publicKey = Buffer.from(x as string, 'base64url')
  return { privateKey: PRIVATE_PREFIX + Buffer.concat([seed, publicKey]).toString('base64'), publicKey }
}

/** The key that `whsk_…` signs with, or null for anything else. */
export function parsePrivateKey(text: string): KeyObject | null {
  if (!text.startsWith(PRIVATE_PREFIX)) return null
  const bytes = Buffer.from(text.slice(PRIVATE_PREFIX.length), 'base64')
  return bytes.length === SEED_BYTES + PUBLIC_BYTES ? privateKeyOf(bytes.subarray(0, SEED_BYTES)) : null
}

/** `whpk_…` */
export const publicKeyText = (publicKey: Buffer) => PUBLIC_PREFIX + publicKey.toString('base64')

function privateKeyOf(seed: Buffer): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: 'der', type: 'pkcs8' })
}
