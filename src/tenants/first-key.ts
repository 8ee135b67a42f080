import { and, eq, isNotNull, isNull, ne, sql } from 'drizzle-orm'
import { apiKeys } from '../../schema/tables/api-keys.ts'
import { SYSTEM } from '../audit/actor.ts'
import { recordAction } from '../audit/record.ts'
import type { Orm } from '../postgres/client.ts'
import { LOCKS } from '../postgres/locks.ts'
import { API_KEY_COLUMNS, aboutKey, makeApiKey, revokeKey } from './api-keys.ts'
import { hashOf } from './bearer-text.ts'

/** The name of the key that stands in the environment; nobody else may have it. */
export const KEY_OF_ENVIRONMENT = 'POSTRIDER_ADMIN_KEY'

/** The key of the environment must not be one that the API has made: it may have been revoked, or do less than it should. */
export class UnusableAdminKey extends Error {
  readonly code = 'UNUSABLE_ADMIN_KEY'

  constructor(name: string) {
    super(
      `POSTRIDER_ADMIN_KEY is the text of a key that exists already, ${JSON.stringify(name)}. Give one of its own there, like that of: openssl rand -hex 32`,
    )
  }
}

/**
 * Sees to it that there is a key to begin with. With POSTRIDER_ADMIN_KEY given, that one is added where it is missing, and
 * one that was given there before is revoked.
 * Without, a first key is made on an installation that has none, and its text returned, to be shown this once.
 */
export async function ensureFirstKey(orm: Orm, options: { given: string | null; now: Date }): Promise<string | null> {
  const { given, now } = options
  return orm.transaction(async (tx) => {
    // Many processes may start at once, each with the key, or each without any.
    await tx.execute(sql`select pg_advisory_xact_lock(${LOCKS.adminKeys}::bigint)`)
    if (given !== null) {
      await replaceGivenKey(tx, given, now)
      return null
    }
    const [existing] = await tx.select({ id: apiKeys.id }).from(apiKeys).limit(1)
    if (existing) return null
    const { key } = await makeApiKey(tx, SYSTEM, { tenantId: null, name: 'first admin key', scopes: ['ADMIN'] }, now)
    return key
  })
}

/** The key of the environment: another one that stood there before opens nothing any more. */
async function replaceGivenKey(orm: Pick<Orm, 'select' | 'insert' | 'update'>, text: string, now: Date): Promise<void> {
  const name = KEY_OF_ENVIRONMENT
  const ofEnvironment = and(eq(apiKeys.name, name), isNull(apiKeys.tenantId))
  const hash = hashOf(text)
  const [known] = await orm
    .select({ name: apiKeys.name, tenantId: apiKeys.tenantId })
    .from(apiKeys)
    .where(eq(apiKeys.hash, hash))
  if (known && (known.name !== name || known.tenantId !== null)) throw new UnusableAdminKey(known.name)
  if (!known) await makeApiKey(orm, SYSTEM, { tenantId: null, name, scopes: ['ADMIN'], text }, now)
  const restored = await orm
    .update(apiKeys)
    .set({ revokedAt: null })
    .where(and(ofEnvironment, eq(apiKeys.hash, hash), isNotNull(apiKeys.revokedAt)))
    .returning(API_KEY_COLUMNS)
  for (const row of restored) await recordAction(orm, SYSTEM, aboutKey('API_KEY_CREATE', row), now)
  const replaced = await orm
    .select({ id: apiKeys.id, revokedAt: apiKeys.revokedAt })
    .from(apiKeys)
    .where(and(ofEnvironment, ne(apiKeys.hash, hash), isNull(apiKeys.revokedAt)))
  for (const row of replaced) await revokeKey(orm, SYSTEM, row, now)
}
