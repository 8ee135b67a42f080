import { randomBytes } from 'node:crypto'
import { eq } from 'drizzle-orm'
import { type EndpointId, newId, type TenantId } from '../../schema/ids.ts'
import { secrets } from '../../schema/tables/secrets.ts'
import { Mistake } from '../mistake.ts'
import type { Orm } from '../postgres/client.ts'
import type { Sealer } from '../sealing/sealer.ts'

const GENERATED_BYTES = 32
const FEWEST_BYTES = 24
const MOST_BYTES = 64

/** What a signing secret is sealed with besides the master key. */
export function secretContext(tenantId: TenantId, endpointId: EndpointId): string {
  return `${tenantId}/${endpointId}`
}

/** The secret a caller brings, or a new one: `whsec_` and base64, the form of Standard Webhooks. */
export function chooseSecret(given: string | null | undefined, path: readonly string[]): string {
  if (given === null || given === undefined) return `whsec_${randomBytes(GENERATED_BYTES).toString('base64')}`
  const encoded = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(given)?.[1] ?? ''
  const bytes = Buffer.from(encoded, 'base64')
  // Node reads anything as base64 of something: only what comes out again as it went in is taken.
  const exact = bytes.toString('base64').replace(/=+$/, '') === encoded.replace(/=+$/, '')
  if (exact && bytes.length >= FEWEST_BYTES && bytes.length <= MOST_BYTES) return given
  const message = `A secret is "whsec_" and the base64 of ${FEWEST_BYTES} to ${MOST_BYTES} random bytes.`
  throw new Mistake('INVALID_INPUT', [...path], message)
}

export async function storeSecret(
  orm: Pick<Orm, 'insert'>,
  sealer: Pick<Sealer, 'seal'>,
  owner: { tenantId: TenantId; endpointId: EndpointId },
  secret: string,
  now: Date,
): Promise<void> {
  const sealed = sealer.seal(secret, secretContext(owner.tenantId, owner.endpointId))
  await orm.insert(secrets).values({ id: newId<'sec'>(now), ...owner, sealed, createdAt: now })
}

export async function eraseSecrets(orm: Pick<Orm, 'delete'>, endpointId: EndpointId): Promise<void> {
  await orm.delete(secrets).where(eq(secrets.endpointId, endpointId))
}
