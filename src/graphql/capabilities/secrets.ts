import type { EndpointId, SecretId } from '../../../schema/ids.ts'
import { revealSecrets } from '../../endpoints/reveal-secret.ts'
import { type Rotation, rotateSecret } from '../../endpoints/rotate-secret.ts'
import { findSecrets, listSecrets } from '../../endpoints/secrets.ts'
import type { Reach, Viewer } from '../../tenants/access.ts'
import { known } from './known.ts'
import type { CapabilityParts } from './parts.ts'

/** What resolvers may ask about signing secrets. */
export function secretCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  return {
    rotate: async (viewer: Viewer, id: string, rotation: Rotation) =>
      rotateSecret(parts, viewer, known('ep', id), rotation),
    reveal: async (viewer: Viewer, id: string) => revealSecrets(parts, viewer, known('ep', id)),
    byIds: (reach: Reach, ids: readonly SecretId[]) => findSecrets(orm, reach, ids, parts.clock.now()),
    ofEndpoints: (reach: Reach, ids: readonly EndpointId[]) => listSecrets(orm, reach, ids, parts.clock.now()),
  }
}
