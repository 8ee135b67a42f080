import { parsePublicId, type TenantId } from '../../../schema/ids.ts'
import { wrong } from '../../input.ts'
import { type PageInput, readPage } from '../../postgres/keyset.ts'
import { deleteTenant } from '../../retention/delete-tenant.ts'
import { type Reach, reachOf, type Viewer } from '../../tenants/access.ts'
import { findTenant, findTenants, listTenants } from '../../tenants/find.ts'
import { createTenant, type NewTenant, type TenantSettings, updateTenant } from '../../tenants/save.ts'
import { known } from './known.ts'
import type { CapabilityParts, TenantKey } from './parts.ts'

/** What resolvers may ask about tenants. */
export function tenantCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  return {
    create: (viewer: Viewer, input: NewTenant) => createTenant(parts, viewer, input),
    update: async (viewer: Viewer, id: string, input: TenantSettings) =>
      updateTenant(parts, viewer, known('ten', id), input),
    delete: async (viewer: Viewer, id: string) => deleteTenant(parts, viewer, known('ten', id)),
    /** By its id or by its key. */
    async find(viewer: Viewer, { id, key }: { id?: string | null | undefined; key?: TenantKey }) {
      const byId = id !== null && id !== undefined
      if (byId === (key !== null && key !== undefined)) {
        throw wrong([byId ? 'key' : 'id'], 'Give the id or the key of a tenant, one of them.')
      }
      return findTenant(orm, reachOf(viewer), { id: byId ? parsePublicId('ten', id) : null, key })
    },
    list: async (viewer: Viewer, page: PageInput) => listTenants(orm, reachOf(viewer), readPage(page)),
    byIds: (reach: Reach, ids: readonly TenantId[]) => findTenants(orm, reach, ids),
  }
}
