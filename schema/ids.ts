import { createHash, randomFillSync } from 'node:crypto'

/**
 * Ids. In the database: UUIDv7 (RFC 9562, section 5.7), so that an id tells its time and rows of a day lie together.
 * Outside: a prefix and 26 characters of Crockford base32 (the TypeID form), `evt_01k…`, so that an id tells its kind.
 */

/** What an id names; the prefix of its public form. */
export type Prefix = 'ten' | 'key' | 'pts' | 'aud' | 'ety' | 'evt' | 'ep' | 'sec' | 'sik' | 'dlv' | 'att' | 'rpl'

declare const kind: unique symbol
/** A UUIDv7 as text, branded with what it names. */
export type Id<P extends Prefix = Prefix> = string & { readonly [kind]: P }
export type TenantId = Id<'ten'>
export type ApiKeyId = Id<'key'>
export type PortalSessionId = Id<'pts'>
export type AuditEntryId = Id<'aud'>
export type EventTypeId = Id<'ety'>
export type EventId = Id<'evt'>
export type EndpointId = Id<'ep'>
export type SecretId = Id<'sec'>
export type SigningKeyId = Id<'sik'>
export type DeliveryId = Id<'dlv'>
export type AttemptId = Id<'att'>
export type ReplayId = Id<'rpl'>

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'
const VALUES = new Map([...ALPHABET].map((character, value) => [character, BigInt(value)]))
const PUBLIC_ID = /^([a-z]{2,3})_([0-7][0-9a-hjkmnp-tv-z]{25})$/
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const random = Buffer.alloc(4096)
let randomUsed = random.length
let lastMs = 0
let sequence = 0

/** A new id for something that happens at `now`. Ids made by one process in one millisecond sort in the order they were made. */
export function newId<P extends Prefix>(now: Date): Id<P> {
  if (randomUsed + 10 > random.length) {
    randomFillSync(random)
    randomUsed = 0
  }
  const ms = now.getTime()
  const seed = random.readUInt16BE(randomUsed) & 0x7ff
  // RFC 9562, section 6.2, method 1: the 12 bits after the time count within the millisecond, from a random start.
  sequence = ms === lastMs ? sequence + 1 : seed
  lastMs = ms
  const tail = random.toString('hex', randomUsed + 2, randomUsed + 10)
  randomUsed += 10
  return uuid(ms, (sequence & 0xfff).toString(16).padStart(3, '0'), tail) as Id<P>
}

/**
 * The id of the delivery of one event to one endpoint, derived from both: the event's time and a hash of the pair.
 * So the primary key itself says "one delivery per event and endpoint", and an event and its deliveries share a day.
 */
export function deliveryIdOf(event: EventId, endpoint: EndpointId): DeliveryId {
  const hash = createHash('sha256').update(event).update(endpoint).digest('hex')
  return uuid(timeOf(event), hash.slice(0, 3), hash.slice(3, 19)) as DeliveryId
}

/** When the thing an id names came to be, in Unix milliseconds. */
export function timeOf(id: Id): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}

/** The lowest UUID of a millisecond: the bound for "this moment or later", and for a day's partition. */
export function lowestIdAt(ms: number): string {
  const hex = Math.max(0, Math.floor(ms)).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-0000-0000-000000000000`
}

/** The highest UUID of a millisecond. */
export function highestIdAt(ms: number): string {
  return `${lowestIdAt(ms).slice(0, 14)}ffff-ffff-ffffffffffff`
}

/** `evt_…` for the outside. */
export function publicId(prefix: Prefix, id: Id): string {
  let value = BigInt(`0x${id.replaceAll('-', '')}`)
  let text = ''
  for (let i = 0; i < 26; i++) {
    text = ALPHABET[Number(value & 31n)] + text
    value >>= 5n
  }
  return `${prefix}_${text}`
}

/** The id behind `evt_…`, or null when the text is not one of that kind. */
export function parsePublicId<P extends Prefix>(prefix: P, text: string): Id<P> | null {
  const parts = PUBLIC_ID.exec(text)
  if (parts?.[1] !== prefix) return null
  let value = 0n
  for (const character of parts[2] as string) value = (value << 5n) | (VALUES.get(character) as bigint)
  const hex = value.toString(16).padStart(32, '0')
  const id = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
  return UUID_V7.test(id) ? (id as Id<P>) : null
}

/** The prefix of a public id, to tell what kind of thing it names. */
export function prefixOf(text: string): Prefix | null {
  return (PUBLIC_ID.exec(text)?.[1] as Prefix | undefined) ?? null
}

function uuid(ms: number, twelveBits: string, sixtyFourBits: string): string {
  const time = ms.toString(16).padStart(12, '0')
  const variant = ((Number.parseInt(sixtyFourBits[0] as string, 16) & 0x3) | 0x8).toString(16)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${twelveBits}-${variant}${sixtyFourBits.slice(1, 4)}-${sixtyFourBits.slice(4)}`
}
