import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** What a caller shows as `Authorization: Bearer …` begins with this: an API key, or the token of a portal session. */
export type BearerPrefix = 'prk' | 'prs'

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const FORM = /^(prk|prs)_([0-9A-Za-z]{43})([0-9A-Za-z]{6})$/
const HINT_CHARACTERS = 8

/** The prefix, 256 bits in base62, and a checksum by which secret scanners tell it from a mere word like it. */
export function bearerText(prefix: BearerPrefix, bits: Buffer): string {
  const secret = base62(BigInt(`0x${bits.toString('hex')}`), 43)
  return `${prefix}_${secret}${checksum(secret)}`
}

/** Whether a text looks like an API key or a token of ours: it has that form, and its checksum is right; else null. */
export function formOf(text: string): BearerPrefix | null {
  const [, prefix, secret, sum] = FORM.exec(text) ?? []
  return secret !== undefined && checksum(secret) === sum ? (prefix as BearerPrefix) : null
}

/** Whether a text has the form of one of ours, and a checksum that is wrong: it was mistyped or made up. */
export function isMisspelt(text: string): boolean {
  return FORM.test(text) && formOf(text) === null
}

/** How a text begins, for its holder to recognise it: 24 of its 256 bits. Null for one that is none of ours. */
export function hintOf(text: string): string | null {
  return formOf(text) === null ? null : text.slice(0, HINT_CHARACTERS)
}

/** What is kept of a text. */
export function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function checksum(secret: string): string {
  return base62(BigInt(crc32(secret)), 6)
}

function base62(value: bigint, length: number): string {
  let text = ''
  for (let rest = value; text.length < length; rest /= 62n) text = BASE62[Number(rest % 62n)] + text
  return text
}
