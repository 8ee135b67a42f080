import type { ApiKeyId } from '../../../schema/ids.ts'
import { type PageInput, readPage } from '../../postgres/keyset.ts'
import { adminReachOf, isInstanceAdmin, type Viewer } from '../../tenants/access.ts'
import { EVERY_TENANT, notForEveryTenant, resolveReach, resolveTenant } from '../../tenants/find.ts'
import { type ApiKeyFilterInput, asOf, findApiKeys, listApiKeys } from '../../tenants/find-callers.ts'
import { type ApiKeyInput, createApiKey, revokeApiKey } from '../../tenants/save-keys.ts'
import { known } from './known.ts'
import type { CapabilityParts, TenantKey } from './parts.ts'

/** What resolvers may ask about API keys. */
export function apiKeyCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  const scope = { orm, defaultTenantId: parts.defaultTenantId }
  const now = () => parts.clock.now()
  return {
    async create(viewer: Viewer, { tenant, ...input }: ApiKeyInput & { tenant?: TenantKey }) {
      const instanceWide = tenant === EVERY_TENANT
      if (instanceWide && !isInstanceAdmin(viewer)) throw notForEveryTenant(['input', 'tenant'])
      const tenantId = instanceWide ? null : await resolveTenant(scope, viewer, tenant, ['input', 'tenant'])
      const { apiKey, key } = await createApiKey(parts, viewer, tenantId, input)
      return { apiKey: asOf(apiKey, now()), key }
    },
    revoke: async (viewer: Viewer, id: string) => asOf(await revokeApiKey(parts, viewer, known('key', id)), now()),
    async list(viewer: Viewer, tenant: TenantKey, filter: ApiKeyFilterInput | null | undefined, page: PageInput) {
      return listApiKeys(orm, await resolveReach(scope, viewer, tenant, ['tenant']), filter, readPage(page), now())
    },
    async byIds(viewer: Viewer, ids: readonly ApiKeyId[]) {
      const reach = adminReachOf(viewer)
      return reach === null ? [] : findApiKeys(orm, reach, ids, now())
    },
  }
}
