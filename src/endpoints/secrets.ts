import { randomBytes } from 'node:crypto'
import { eq } from 'drizzle-orm'
import { type EndpointId, newId, type TenantId } from '../../schema/ids.ts'
import { secrets } from '../../schema/tables/secrets.ts'
import { Mistake } from '../mistake.ts'
import type { Orm } from '../postgres/client.ts'
import type { Sealer } from '../sealing/sealer.ts'
import { generateSecret, parseSecret, SECRET_BYTES } from './signing-secret.ts'

/** What a signing secret is sealed with besides the master key. */
export function secretContext(tenantId: TenantId, endpointId: EndpointId): string {
  return `${tenantId}/${endpointId}`
}

/** The secret a caller brings, or a new one. */
export function chooseSecret(given: string | null | undefined, path: readonly string[]): string {
  if (given === null || given === undefined) return generateSecret(randomBytes(SECRET_BYTES))
  if (parseSecret(given) !== null) return given
  // Never with the value: it may be one that is in use elsewhere.
  throw new Mistake('INVALID_INPUT', [...path], 'A secret is "whsec_" and the base64 of 24 to 64 random bytes.')
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
