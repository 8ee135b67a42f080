import { type EndpointId, publicId } from '../../schema/ids.ts'
import { endpoints } from '../../schema/tables/endpoints.ts'
import { recordAction } from '../audit/record.ts'
import type { Viewer } from '../tenants/access.ts'
import { type Endpoint, endpointNotFound } from './find.ts'
import type { SecretsContext } from './rotate-secret.ts'
import { living } from './save.ts'
import { openSecret, readSecrets, type Secret } from './secrets.ts'

/** A signing secret in the clear. */
export type RevealedSecret = Secret & { value: string }

/** All secrets of an endpoint that sign, newest first; told to nobody before it stands in the audit log who asked. */
export async function revealSecrets(
  { db, sealer, clock }: SecretsContext,
  viewer: Viewer,
  id: EndpointId,
): Promise<{ endpoint: Endpoint; secrets: RevealedSecret[] }> {
  return db.orm.transaction(async (tx) => {
    const [endpoint] = await tx.select().from(endpoints).where(living(viewer, id))
    if (!endpoint) throw endpointNotFound(id)
    const now = clock.now()
    const sealed = await readSecrets(tx, id, now)
    const secrets = sealed.map((secret) => ({ ...secret, value: openSecret(sealer, secret) }))
    const details = { secrets: secrets.map((secret) => publicId('sec', secret.id)) }
    const { tenantId } = endpoint
    const action = { action: 'ENDPOINT_REVEAL_SECRET', tenantId, object: publicId('ep', id), details } as const
    await recordAction(tx, viewer, action, now)
    return { endpoint, secrets }
  })
}
