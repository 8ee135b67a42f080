import type { PortalSessionId } from '../../../schema/ids.ts'
import { type PageInput, readPage } from '../../postgres/keyset.ts'
import { adminReachOf, type Viewer } from '../../tenants/access.ts'
import { resolveReach, resolveTenant } from '../../tenants/find.ts'
import {
  asOf,
  findPortalSessions,
  listPortalSessions,
  type PortalSessionFilterInput,
} from '../../tenants/find-callers.ts'
import { createPortalSession, type NewPortalSession, revokePortalSession } from '../../tenants/portal-sessions.ts'
import { known } from './known.ts'
import type { CapabilityParts, TenantKey } from './parts.ts'

/** What resolvers may ask about portal sessions. */
export function portalSessionCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  const scope = { orm, defaultTenantId: parts.defaultTenantId }
  const now = () => parts.clock.now()
  return {
    async create(viewer: Viewer, { tenant, ...input }: NewPortalSession & { tenant?: TenantKey }) {
      const tenantId = await resolveTenant(scope, viewer, tenant, ['input', 'tenant'])
      const { portalSession, token } = await createPortalSession(parts, viewer, tenantId, input)
      return { portalSession: asOf(portalSession, now()), token }
    },
    revoke: async (viewer: Viewer, id: string) =>
      asOf(await revokePortalSession(parts, viewer, known('pts', id)), now()),
    async list(
      viewer: Viewer,
      tenant: TenantKey,
      filter: PortalSessionFilterInput | null | undefined,
      page: PageInput,
    ) {
      const reach = await resolveReach(scope, viewer, tenant, ['tenant'])
      return listPortalSessions(orm, reach, filter, readPage(page), now())
    },
    async byIds(viewer: Viewer, ids: readonly PortalSessionId[]) {
      const reach = adminReachOf(viewer)
      return reach === null ? [] : findPortalSessions(orm, reach, ids, now())
    },
  }
}
