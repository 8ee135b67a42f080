import type { EndpointId, SecretId, SigningKeyId } from '../../../schema/ids.ts'
import { revealSecrets } from '../../endpoints/reveal-secret.ts'
import { type Rotation, rotateSecret } from '../../endpoints/rotate-secret.ts'
import { findSecrets, listSecrets } from '../../endpoints/secrets.ts'
import { findSigningKeys, listSigningKeys, publishedSigningKeys } from '../../endpoints/signing-keys.ts'
import type { Reach, Viewer } from '../../tenants/access.ts'
import { known } from './known.ts'
import type { CapabilityParts } from './parts.ts'

/** What resolvers may ask about signing secrets and signing keys. */
export function secretCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  const now = () => parts.clock.now()
  return {
    rotate: async (viewer: Viewer, id: string, rotation: Rotation) =>
      rotateSecret(parts, viewer, known('ep', id), rotation),
    reveal: async (viewer: Viewer, id: string) => revealSecrets(parts, viewer, known('ep', id)),
    byIds: (reach: Reach, ids: readonly SecretId[]) => findSecrets(orm, reach, ids, now()),
    ofEndpoints: (reach: Reach, ids: readonly EndpointId[]) => listSecrets(orm, reach, ids, now()),
    keysByIds: (reach: Reach, ids: readonly SigningKeyId[]) => findSigningKeys(orm, reach, ids, now()),
    keysOfEndpoints: (reach: Reach, ids: readonly EndpointId[]) => listSigningKeys(orm, reach, ids, now()),
    /** For everybody, without a credential. */
    publishedKeys: (tenantKeys: readonly string[]) => publishedSigningKeys(orm, tenantKeys, now()),
  }
}
