import type { AuditEntryId } from '../../../schema/ids.ts'
import { type AuditFilterInput, findAuditEntries, listAuditEntries } from '../../audit/find.ts'
import { type PageInput, readPage } from '../../postgres/keyset.ts'
import { adminReachOf, type Viewer } from '../../tenants/access.ts'
import { resolveReach } from '../../tenants/find.ts'
import type { CapabilityParts, TenantKey } from './parts.ts'

/** What resolvers may ask about the audit log. */
export function auditLogCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  const scope = { orm, defaultTenantId: parts.defaultTenantId }
  return {
    async list(viewer: Viewer, tenant: TenantKey, filter: AuditFilterInput | null | undefined, page: PageInput) {
      return listAuditEntries(orm, await resolveReach(scope, viewer, tenant, ['tenant']), filter, readPage(page))
    },
    async byIds(viewer: Viewer, ids: readonly AuditEntryId[]) {
      const reach = adminReachOf(viewer)
      return reach === null ? [] : findAuditEntries(orm, reach, ids)
    },
  }
}
