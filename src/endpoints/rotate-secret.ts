import { and, eq, gt, isNull, lte, or } from 'drizzle-orm'
import { type EndpointId, publicId } from '../../schema/ids.ts'
import { endpoints } from '../../schema/tables/endpoints.ts'
import { secrets } from '../../schema/tables/secrets.ts'
import { recordAction } from '../audit/record.ts'
import { type NumberRange, type Optional, readWhole, wrong } from '../input.ts'
import { Mistake, readAll } from '../mistake.ts'
import type { Db, Orm } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { again } from '../postgres/deadlock.ts'
import { SealError, type Sealer } from '../sealing/sealer.ts'
import type { Viewer } from '../tenants/access.ts'
import { type Endpoint, endpointNotFound } from './find.ts'
import { living } from './save.ts'
import { chooseSecret, openSecret, readSecrets, type SealedSecret, storeSecret } from './secrets.ts'
import { rotateSigningKeys } from './signing-keys.ts'

export type SecretsContext = { db: Pick<Db, 'orm'>; sealer: Pick<Sealer, 'seal' | 'open'>; clock: Clock }

/** `overlapSeconds`: how long the older secrets go on signing; absent or null: a day. `secret`: the caller's own. */
export type Rotation = { overlapSeconds?: Optional<number>; secret?: Optional<string> }

export const DEFAULT_OVERLAP_SECONDS = 86_400
export const OVERLAP: NumberRange = { from: 0, to: 7 * 86_400, unit: 'seconds', like: 3600 }
/** How many secrets of an endpoint may sign at a time: each is one more signature in every request. */
export const MOST_SECRETS = 5

/**
 * Gives an endpoint a new secret, which signs at once and is returned in the clear this once. The older ones go on signing for the
 * overlap, or for less where that was said before: a rotation never prolongs a secret. An endpoint with signing keys changes to its
 * next one at the same time, with the same overlap.
 */
export async function rotateSecret(
  { db, sealer, clock }: SecretsContext,
  viewer: Viewer,
  id: EndpointId,
  { overlapSeconds, secret: given }: Rotation,
): Promise<{ endpoint: Endpoint; secret: string }> {
  const { overlap, secret } = readAll({
    overlap: () => readWhole(overlapSeconds ?? DEFAULT_OVERLAP_SECONDS, OVERLAP, ['overlapSeconds']),
    secret: () => chooseSecret(given, ['secret']),
  })
  const broughtByCaller = typeof given === 'string'
  const rotate = async (tx: Orm) => {
    // The row is locked from here on: rotations of one endpoint come one after another.
    const [endpoint] = await tx.update(endpoints).set({ updatedAt: clock.now() }).where(living(viewer, id)).returning()
    if (!endpoint) throw endpointNotFound(id)
    const now = clock.now()
    const signing = await readSecrets(tx, id, now)
    if (broughtByCaller) refuseKnown(sealer, signing, secret)
    const end = new Date(now.getTime() + overlap * 1000)
    if (overlap > 0) refuseTooMany(signing)
    await endOthers(tx, id, { now, end })
    // Another process gave the one before its time, by a clock of its own: the newest must be the newest all the same.
    const after = Math.max(now.getTime(), ...signing.map(({ createdAt }) => createdAt.getTime() + 1))
    const { tenantId, signsEd25519 } = endpoint
    const owner = { tenantId, endpointId: id }
    const secretId = await storeSecret(tx, sealer, owner, secret, new Date(after))
    const keyId = signsEd25519 ? await rotateSigningKeys(tx, sealer, owner, { now, end }) : null
    const details = {
      secret: publicId('sec', secretId),
      ...(keyId === null ? {} : { signingKey: publicId('sik', keyId) }),
      overlapSeconds: overlap,
      broughtByCaller,
    }
    const action = { action: 'ENDPOINT_ROTATE_SECRET', tenantId, object: publicId('ep', id), details } as const
    await recordAction(tx, viewer, action, now)
    return { endpoint, secret }
  }
  return again(() => db.orm.transaction(rotate))
}

/** Base64 in its canonical form has one spelling for each key, so the texts are compared. */
function refuseKnown(sealer: Pick<Sealer, 'open'>, signing: readonly SealedSecret[], secret: string): void {
  if (!signing.some((one) => isThis(sealer, one, secret))) return
  const message = 'This secret signs for the endpoint already. Give another one, or none to have one made.'
  throw wrong(['secret'], message)
}

/** One that cannot be opened is another one: a rotation is how it is got rid of. */
function isThis(sealer: Pick<Sealer, 'open'>, one: SealedSecret, secret: string): boolean {
  try {
    return openSecret(sealer, one) === secret
  } catch (error) {
    if (error instanceof SealError) return false
    throw error
  }
}

function refuseTooMany(signing: readonly { signsUntil: Date | null }[]): void {
  if (signing.length < MOST_SECRETS) return
  const ends = signing.flatMap(({ signsUntil }) => signsUntil?.getTime() ?? [])
  const first = new Date(Math.min(...ends)).toISOString()
  throw new Mistake(
    'TOO_MANY_SECRETS',
    ['id'],
    `${signing.length} secrets of this endpoint sign already; at most ${MOST_SECRETS} may. The first of them ends at ${first}: wait until then, or rotate with overlapSeconds: 0, which ends them all at once.`,
  )
}

/** Those that sign no more are erased right away, those that go on to do so get their end. */
async function endOthers(
  tx: Pick<Orm, 'update' | 'delete'>,
  id: EndpointId,
  { now, end }: { now: Date; end: Date },
): Promise<void> {
  const { endpointId, signsUntil } = secrets
  const later = or(isNull(signsUntil), gt(signsUntil, end))
  await tx
    .update(secrets)
    .set({ signsUntil: end })
    .where(and(eq(endpointId, id), later))
  await tx.delete(secrets).where(and(eq(endpointId, id), lte(signsUntil, now)))
}
