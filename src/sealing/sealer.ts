import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { MasterKey } from './master-keys.ts'

/**
 * Secrets at rest: AES-256-GCM with a random nonce (NIST SP 800-38D). One self-describing buffer:
 *
 *     1 byte version | 8 bytes key id | 12 bytes nonce | 16 bytes tag | ciphertext
 *
 * `context` says where the secret belongs, as `SEALED_COLUMNS` spells it (`<tenant>/<endpoint>`), and is authenticated, not
 * stored: a sealed value moved to another row does not open there.
 */
export type Sealer = {
  /** Seals with the newest key. */
  seal(plain: string, context: string): Buffer
  /** Opens with whichever key sealed it. Throws `SealError`. */
  open(sealed: Uint8Array, context: string): string
  /** The key that is needed to open it, in hex. */
  keyIdOf(sealed: Uint8Array): string
  /** The id of the key that seals. */
  newest: string
  /** Whether the key of this id is at hand. */
  has(keyId: string): boolean
}

export type SealErrorCode = 'MASTER_KEY_MISSING' | 'SEALED_DAMAGED'

/** A sealed value cannot be opened: its key was not given, or it was altered or moved. */
export class SealError extends Error {
  readonly code: SealErrorCode
  readonly keyId: string | null

  constructor(code: SealErrorCode, keyId: string | null, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'SealError'
    this.code = code
    this.keyId = keyId
  }
}

const VERSION = 1
const KEY_ID_END = 9
const NONCE_END = KEY_ID_END + 12
const TAG_END = NONCE_END + 16
// A custom header list may have 128 KiB; ten thousand of those would take gigabytes.
const LONGEST_REMEMBERED = 8 * 1024

/**
 * The keys newest first: the first seals, all open. The last `remember` values opened are kept in memory, because opening
 * takes some 16 µs, most of it setting up the cipher, and the same few signing secrets are opened for every delivery.
 */
export function createSealer(keys: readonly MasterKey[], { remember = 10_000 } = {}): Sealer {
  const [newest] = keys
  if (newest === undefined) throw new Error('a sealer needs at least one master key')
  const byId = new Map(keys.map((key) => [key.id, key]))
  const head = Buffer.concat([Buffer.of(VERSION), Buffer.from(newest.id, 'hex')])
  const opened = new Map<string, string>()

  return {
    seal(plain, context) {
      const nonce = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', newest.key, nonce, { authTagLength: 16 })
      cipher.setAAD(associated(head, context))
      const ciphertext = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()])
      return Buffer.concat([head, nonce, cipher.getAuthTag(), ciphertext])
    },
    open(sealed, context) {
      const buffer = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
      // The length keeps apart what a longer context and a shorter sealed value would spell alike.
      const place = `${context.length}:${context}${buffer.toString('latin1')}`
      const known = opened.get(place)
      if (known !== undefined) return known
      const keyId = readKeyId(buffer)
      const key = byId.get(keyId)
      if (key === undefined) {
        throw new SealError('MASTER_KEY_MISSING', keyId, `the master key ${keyId} is needed and was not given`)
      }
      const plain = decrypt(buffer, key, context)
      if (buffer.length <= LONGEST_REMEMBERED) opened.set(place, plain)
      // A Map keeps the order of insertion: the first is the oldest.
      if (opened.size > remember) opened.delete(opened.keys().next().value as string)
      return plain
    },
    keyIdOf: (sealed) => readKeyId(Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)),
    newest: newest.id,
    has: (keyId) => byId.has(keyId),
  }
}

function decrypt(sealed: Buffer, { id, key }: MasterKey, context: string): string {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(KEY_ID_END, NONCE_END), { authTagLength: 16 })
  decipher.setAAD(associated(sealed.subarray(0, KEY_ID_END), context))
  decipher.setAuthTag(sealed.subarray(NONCE_END, TAG_END))
  try {
    return decipher.update(sealed.subarray(TAG_END), undefined, 'utf8') + decipher.final('utf8')
  } catch (cause) {
    throw new SealError('SEALED_DAMAGED', id, 'a sealed value was altered, or belongs somewhere else', { cause })
  }
}

function readKeyId(sealed: Buffer): string {
  if (sealed.length < TAG_END || sealed[0] !== VERSION) {
    throw new SealError('SEALED_DAMAGED', null, 'not a sealed value of a known version')
  }
  return sealed.toString('hex', 1, KEY_ID_END)
}

function associated(head: Buffer, context: string): Buffer {
  return Buffer.concat([head, Buffer.from(context, 'utf8')])
}
