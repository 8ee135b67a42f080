import { randomBytes } from 'node:crypto'
import { and, asc, desc, eq, gt, inArray, isNotNull, isNull, lte, or, type SQL } from 'drizzle-orm'
import { type EndpointId, newId, type SigningKeyId, type TenantId } from '../../schema/ids.ts'
import type { SigningKeyState } from '../../schema/states.ts'
import { signingKeys } from '../../schema/tables/signing-keys.ts'
import { tenants } from '../../schema/tables/tenants.ts'
import type { Orm, Sql } from '../postgres/client.ts'
import { SEALED_COLUMNS } from '../sealing/columns.ts'
import { SealError, type Sealer } from '../sealing/sealer.ts'
import type { Reach } from '../tenants/access.ts'
import { inReach } from '../tenants/reach.ts'
import { keyPairOf, SEED_BYTES } from './key-pair.ts'

/** One key pair without its private half: what everybody may see who sees its endpoint. */
export type SigningKey = Omit<typeof signingKeys.$inferSelect, 'sealed'>

const { id, tenantId, endpointId, publicKey, createdAt, signsFrom, signsUntil } = signingKeys
const METADATA = { id, tenantId, endpointId, publicKey, createdAt, signsFrom, signsUntil }

type Owner = { tenantId: TenantId; endpointId: EndpointId }

/** What the private half is sealed with besides the master key. */
export function signingKeyContext(tenantId: TenantId, endpointId: EndpointId): string {
  return SEALED_COLUMNS.signingKeys.context([tenantId, endpointId])
}

export function stateOf({ signsFrom, signsUntil }: SigningKey): SigningKeyState {
  if (signsFrom === null) return 'NEXT'
  return signsUntil === null ? 'CURRENT' : 'ENDING'
}

/** Gives an endpoint that has none a key that signs and the next one. */
export async function makeSigningKeys(
  orm: Pick<Orm, 'insert'>,
  sealer: Pick<Sealer, 'seal'>,
  owner: Owner,
  now: Date,
): Promise<SigningKeyId> {
  const current = newKey(sealer, owner, now, now)
  await orm.insert(signingKeys).values([current, newKey(sealer, owner, now, null)])
  return current.id
}

export async function eraseSigningKeys(orm: Pick<Orm, 'delete'>, owner: Owner): Promise<void> {
  await orm.delete(signingKeys).where(of(owner))
}

/**
 * The next key signs from `now`, and gets a next one; those that have signed go on until `end`, or less long where that was said
 * before. A next key that cannot be opened is replaced: a rotation is how such a one is got rid of. Returns the key that signs.
 */
export async function rotateSigningKeys(
  orm: Pick<Orm, 'select' | 'insert' | 'update' | 'delete'>,
  sealer: Pick<Sealer, 'seal' | 'open'>,
  owner: Owner,
  { now, end }: { now: Date; end: Date },
): Promise<SigningKeyId> {
  const mine = of(owner)
  const stored = await orm.select().from(signingKeys).where(mine)
  const next = stored.find((key) => key.signsFrom === null && opens(sealer, owner, key.sealed))
  // Another process gave the one before its time, by a clock of its own: the newest must be the newest all the same.
  const from = new Date(Math.max(now.getTime(), ...stored.map(({ signsFrom }) => (signsFrom?.getTime() ?? 0) + 1)))
  await orm
    .update(signingKeys)
    .set({ signsUntil: end })
    .where(and(mine, isNotNull(signsFrom), or(isNull(signsUntil), gt(signsUntil, end))))
  await orm.delete(signingKeys).where(and(mine, lte(signsUntil, now)))
  if (next === undefined) {
    await orm.delete(signingKeys).where(and(mine, isNull(signsFrom)))
    return makeSigningKeys(orm, sealer, owner, from)
  }
  await orm.update(signingKeys).set({ signsFrom: from }).where(eq(id, next.id))
  await orm.insert(signingKeys).values(newKey(sealer, owner, from, null))
  return next.id
}

/** Among these ids, the keys that are next or sign, and can be seen. */
export async function findSigningKeys(
  orm: Orm,
  reach: Reach,
  ids: readonly SigningKeyId[],
  now: Date,
): Promise<SigningKey[]> {
  return orm
    .select(METADATA)
    .from(signingKeys)
    .where(and(inReach(tenantId, reach), inArray(id, [...ids]), notEnded(now)))
}

/** Those of each endpoint, the next one first, then the newest, in the order of the endpoints. */
export async function listSigningKeys(
  orm: Orm,
  reach: Reach,
  endpoints: readonly EndpointId[],
  now: Date,
): Promise<SigningKey[][]> {
  const rows = await orm
    .select(METADATA)
    .from(signingKeys)
    .where(and(inReach(tenantId, reach), inArray(endpointId, [...endpoints]), notEnded(now)))
    // Descending, Postgres puts null first.
    .orderBy(desc(signsFrom), desc(id))
  const groups = Map.groupBy(rows, (row) => row.endpointId)
  return endpoints.map((endpoint) => groups.get(endpoint) ?? [])
}

/** Those of each of these tenants, for everybody: by the keys of the tenants, which may be none's. */
export async function publishedSigningKeys(
  orm: Orm,
  tenantKeys: readonly string[],
  now: Date,
): Promise<Map<string, SigningKey[]>> {
  const rows = await orm
    .select({ ...METADATA, tenant: tenants.key })
    .from(signingKeys)
    .innerJoin(tenants, eq(tenants.id, tenantId))
    .where(and(inArray(tenants.key, [...tenantKeys]), isNull(tenants.deletedAt), notEnded(now)))
    .orderBy(asc(endpointId), desc(signsFrom), desc(id))
  return Map.groupBy(rows, ({ tenant }) => tenant)
}

/** Of all endpoints, those that sign no more. */
export async function eraseEndedSigningKeys(sql: Sql, now: Date): Promise<void> {
  await sql`delete from postrider.signing_keys where signs_until <= ${now.toISOString()}`
}

// With the tenant: the index begins with it.
const of = (owner: Owner) => and(eq(tenantId, owner.tenantId), eq(endpointId, owner.endpointId))

function newKey(sealer: Pick<Sealer, 'seal'>, owner: Owner, createdAt: Date, signsFrom: Date | null) {
  const { privateKey, publicKey } = keyPairOf(randomBytes(SEED_BYTES))
  const sealed = sealer.seal(privateKey, signingKeyContext(owner.tenantId, owner.endpointId))
  return { id: newId<'sik'>(createdAt), ...owner, publicKey, sealed, createdAt, signsFrom }
}

function opens(sealer: Pick<Sealer, 'open'>, owner: Owner, sealed: Buffer): boolean {
  try {
    sealer.open(sealed, signingKeyContext(owner.tenantId, owner.endpointId))
    return true
  } catch (error) {
    if (error instanceof SealError) return false
    throw error
  }
}

function notEnded(now: Date): SQL | undefined {
  return or(isNull(signsUntil), gt(signsUntil, now))
}
