import { authenticate } from '../tenants/authenticate.ts'
import { apiKeyCapabilities } from './capabilities/api-keys.ts'
import { attemptCapabilities } from './capabilities/attempts.ts'
import { auditLogCapabilities } from './capabilities/audit-log.ts'
import { deliveryCapabilities } from './capabilities/deliveries.ts'
import { endpointCapabilities } from './capabilities/endpoints.ts'
import { eventTypeCapabilities } from './capabilities/event-types.ts'
import { eventCapabilities } from './capabilities/events.ts'
import type { CapabilityParts } from './capabilities/parts.ts'
import { portalSessionCapabilities } from './capabilities/portal-sessions.ts'
import { replayCapabilities } from './capabilities/replays.ts'
import { secretCapabilities } from './capabilities/secrets.ts'
import { tenantCapabilities } from './capabilities/tenants.ts'

/** What the resolvers may ask for: each a function of a room, bound to what it needs. */
export type Capabilities = ReturnType<typeof createCapabilities>

export function createCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  return {
    /** Who holds this key or token and asks from this address, or null. */
    authenticate: (text: string, address: string | null) =>
      authenticate({ orm, now: parts.clock.now(), address, keyUsage: parts.keyUsage }, text),
    tenants: tenantCapabilities(parts),
    apiKeys: apiKeyCapabilities(parts),
    portalSessions: portalSessionCapabilities(parts),
    endpoints: endpointCapabilities(parts),
    eventTypes: eventTypeCapabilities(parts),
    events: eventCapabilities(parts),
    deliveries: deliveryCapabilities(parts),
    attempts: attemptCapabilities(parts),
    replays: replayCapabilities(parts),
    secrets: secretCapabilities(parts),
    auditLog: auditLogCapabilities(parts),
  }
}
