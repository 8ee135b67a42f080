import type { ApiKeyId, PortalSessionId } from '../../schema/ids.ts'
import type { ActorKind } from '../../schema/states.ts'

/** Who does something. */
export type Actor = {
  kind: ActorKind
  /** Of the key or portal session; null for SYSTEM. */
  id: ApiKeyId | PortalSessionId | null
  name: string
  /** Where the request came from; null when there is none. */
  address: string | null
}

/** Postrider itself, or somebody who runs its commands. */
export const SYSTEM: Actor = { kind: 'SYSTEM', id: null, name: 'Postrider', address: null }
