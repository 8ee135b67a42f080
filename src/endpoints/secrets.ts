import { randomBytes } from 'node:crypto'
import { and, desc, eq, gt, inArray, isNull, or, type SQL } from 'drizzle-orm'
import { type EndpointId, newId, type SecretId, type TenantId } from '../../schema/ids.ts'
import { secrets } from '../../schema/tables/secrets.ts'
import { type Optional, wrong } from '../input.ts'
import type { Orm, Sql } from '../postgres/client.ts'
import { SEALED_COLUMNS } from '../sealing/columns.ts'
import type { Sealer } from '../sealing/sealer.ts'
import type { Reach } from '../tenants/access.ts'
import { inReach } from '../tenants/reach.ts'
import { generateSecret, parseSecret, SECRET_BYTES } from './signing-secret.ts'

/** One signing secret without its value: what everybody may see who sees its endpoint. */
export type Secret = Omit<SealedSecret, 'sealed'>
export type SealedSecret = typeof secrets.$inferSelect

const { id, tenantId, endpointId, createdAt, signsUntil } = secrets
const METADATA = { id, tenantId, endpointId, createdAt, signsUntil }

/** What a signing secret is sealed with besides the master key. */
export function secretContext(tenantId: TenantId, endpointId: EndpointId): string {
  return SEALED_COLUMNS.secrets.context([tenantId, endpointId])
}

/** The secret a caller brings, or a new one. */
export function chooseSecret(given: Optional<string>, path: readonly string[]): string {
  if (given === null || given === undefined) return generateSecret(randomBytes(SECRET_BYTES))
  if (parseSecret(given) !== null) return given
  // Never with the value: it may be one that is in use elsewhere.
  throw wrong(path, 'A secret is "whsec_" and the base64 of 24 to 64 random bytes.')
}

export async function storeSecret(
  orm: Pick<Orm, 'insert'>,
  sealer: Pick<Sealer, 'seal'>,
  owner: { tenantId: TenantId; endpointId: EndpointId },
  secret: string,
  createdAt: Date,
): Promise<SecretId> {
  const sealed = sealer.seal(secret, secretContext(owner.tenantId, owner.endpointId))
  const id = newId<'sec'>(createdAt)
  await orm.insert(secrets).values({ id, ...owner, sealed, createdAt })
  return id
}

/** Among these ids, the secrets that sign and can be seen. */
export async function findSecrets(orm: Orm, reach: Reach, ids: readonly SecretId[], now: Date): Promise<Secret[]> {
  return orm
    .select(METADATA)
    .from(secrets)
    .where(and(inReach(tenantId, reach), inArray(id, [...ids]), signing(now)))
}

/** The secrets of each endpoint that sign, newest first, in the order of the endpoints. */
export async function listSecrets(
  orm: Orm,
  reach: Reach,
  endpoints: readonly EndpointId[],
  now: Date,
): Promise<Secret[][]> {
  const rows = await orm
    .select(METADATA)
    .from(secrets)
    .where(and(inReach(tenantId, reach), inArray(endpointId, [...endpoints]), signing(now)))
    .orderBy(...NEWEST_FIRST)
  const groups = Map.groupBy(rows, (row) => row.endpointId)
  return endpoints.map((endpoint) => groups.get(endpoint) ?? [])
}

/** All secrets of an endpoint that sign, newest first, sealed as they are. */
export async function readSecrets(orm: Pick<Orm, 'select'>, endpoint: EndpointId, now: Date): Promise<SealedSecret[]> {
  return orm
    .select()
    .from(secrets)
    .where(and(eq(endpointId, endpoint), signing(now)))
    .orderBy(...NEWEST_FIRST)
}

/** The value of a secret. Whoever tells it to somebody must leave a trace in the audit log. */
export function openSecret(sealer: Pick<Sealer, 'open'>, { sealed, tenantId, endpointId }: SealedSecret): string {
  return sealer.open(sealed, secretContext(tenantId, endpointId))
}

/** Of all endpoints, those that sign no more. */
export async function eraseEndedSecrets(sql: Sql, now: Date): Promise<void> {
  await sql`delete from postrider.secrets where signs_until <= ${now.toISOString()}`
}

const NEWEST_FIRST = [desc(createdAt), desc(id)]

function signing(now: Date): SQL | undefined {
  return or(isNull(signsUntil), gt(signsUntil, now))
}
