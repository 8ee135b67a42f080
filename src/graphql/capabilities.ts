import type { TenantId } from '../../schema/ids.ts'
import type { Reach } from '../tenants/access.ts'
import { authenticate } from '../tenants/api-keys.ts'
import { findTenants } from '../tenants/find.ts'
import { attemptCapabilities } from './capabilities/attempts.ts'
import { auditLogCapabilities } from './capabilities/audit-log.ts'
import { deliveryCapabilities } from './capabilities/deliveries.ts'
import { endpointCapabilities } from './capabilities/endpoints.ts'
import { eventCapabilities } from './capabilities/events.ts'
import type { CapabilityParts } from './capabilities/parts.ts'
import { replayCapabilities } from './capabilities/replays.ts'
import { secretCapabilities } from './capabilities/secrets.ts'

/** What the resolvers may ask for: each a function of a room, bound to what it needs. */
export type Capabilities = ReturnType<typeof createCapabilities>

export function createCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  return {
    /** Who holds this key and asks from this address, or null. */
    authenticate: (key: string, address: string | null) => authenticate(orm, key, { now: parts.clock.now(), address }),
    tenants: {
      byIds: (reach: Reach, ids: readonly TenantId[]) => findTenants(orm, reach, ids),
    },
    endpoints: endpointCapabilities(parts),
    events: eventCapabilities(parts),
    deliveries: deliveryCapabilities(parts),
    attempts: attemptCapabilities(parts),
    replays: replayCapabilities(parts),
    secrets: secretCapabilities(parts),
    auditLog: auditLogCapabilities(parts),
  }
}
