import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { and, eq, isNull, ne, sql } from 'drizzle-orm'
import { newId, type TenantId } from '../../schema/ids.ts'
import type { Scope } from '../../schema/states.ts'
import { apiKeys } from '../../schema/tables/api-keys.ts'
import type { Orm } from '../postgres/client.ts'
import { LOCKS } from '../postgres/locks.ts'
import type { Viewer } from './access.ts'

export type NewApiKey = { tenantId: TenantId | null; name: string; scopes: Scope[]; expiresAt?: Date | null }

type Writer = Pick<Orm, 'insert'>

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const LONGEST_KEY = 256

/** Makes a key and returns its text, which is kept nowhere. */
export async function createApiKey(orm: Writer, key: NewApiKey, now: Date): Promise<string> {
  const text = newKeyText(randomBytes(32))
  await insertKey(orm, text, key, now)
  return text
}

/** Who holds this key, asking from this address; or null: unknown, expired and revoked ones are all the same. */
export async function authenticate(
  orm: Orm,
  text: string,
  { now, address }: { now: Date; address: string | null },
): Promise<Viewer | null> {
  if (text.length === 0 || text.length > LONGEST_KEY) return null
  const hash = hashOf(text)
  const [row] = await orm.select().from(apiKeys).where(eq(apiKeys.hash, hash))
  // The index has compared already, in its own time; whoever could learn from that would have to invert SHA-256.
  if (!row || !timingSafeEqual(row.hash, hash)) return null
  if (row.revokedAt !== null || (row.expiresAt !== null && row.expiresAt <= now)) return null
  return { kind: 'API_KEY', id: row.id, name: row.name, address, tenantId: row.tenantId, scopes: row.scopes }
}

/**
 * Sees to it that there is a key to begin with. With POSTRIDER_ADMIN_KEY given, that one is added where it is missing, and
 * one that was given there before is revoked.
 * Without, a first key is made on an installation that has none, and its text returned, to be shown this once.
 */
export async function ensureFirstKey(orm: Orm, options: { given: string | null; now: Date }): Promise<string | null> {
  const { given, now } = options
  if (given !== null) {
    await orm.transaction((tx) => replaceGivenKey(tx, given, now))
    return null
  }
  return orm.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(${LOCKS.firstKey}::bigint)`)
    const [existing] = await tx.select({ id: apiKeys.id }).from(apiKeys).limit(1)
    return existing ? null : createApiKey(tx, { tenantId: null, name: 'first admin key', scopes: ['ADMIN'] }, now)
  })
}

/** `prk_`, 256 bits in base62, and a checksum by which secret scanners tell a key from a mere word like one. */
export function newKeyText(bits: Buffer): string {
  const secret = base62(BigInt(`0x${bits.toString('hex')}`), 43)
  return `prk_${secret}${checksum(secret)}`
}

/** Whether a text has the form of our keys and its checksum is right. For scanners; authentication asks the database. */
export function looksLikeKey(text: string): boolean {
  const [, secret, sum] = /^prk_([0-9A-Za-z]{43})([0-9A-Za-z]{6})$/.exec(text) ?? []
  return secret !== undefined && checksum(secret) === sum
}

/** The key of the environment: another one that stood there before opens nothing any more. */
async function replaceGivenKey(orm: Pick<Orm, 'insert' | 'update'>, text: string, now: Date): Promise<void> {
  const name = 'POSTRIDER_ADMIN_KEY'
  await insertKey(orm, text, { tenantId: null, name, scopes: ['ADMIN'] }, now)
  const ofEnvironment = and(eq(apiKeys.name, name), isNull(apiKeys.tenantId))
  await orm
    .update(apiKeys)
    .set({ revokedAt: null })
    .where(and(ofEnvironment, eq(apiKeys.hash, hashOf(text))))
  await orm
    .update(apiKeys)
    .set({ revokedAt: now })
    .where(and(ofEnvironment, ne(apiKeys.hash, hashOf(text)), isNull(apiKeys.revokedAt)))
}

async function insertKey(orm: Writer, text: string, key: NewApiKey, now: Date): Promise<void> {
  const { tenantId, name, scopes, expiresAt = null } = key
  const row = { id: newId<'key'>(now), tenantId, name, hash: hashOf(text), scopes, createdAt: now, expiresAt }
  await orm.insert(apiKeys).values(row).onConflictDoNothing()
}

function hashOf(text: string): Buffer {
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
