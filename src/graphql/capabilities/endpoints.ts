import type { EndpointId } from '../../../schema/ids.ts'
import { type CredentialSettings, findCredentials } from '../../endpoints/credentials.ts'
import { findFilterFaults } from '../../endpoints/filter-faults.ts'
import { type EndpointFilterInput, findEndpoints, listEndpoints } from '../../endpoints/find.ts'
import type { EndpointSettings } from '../../endpoints/input.ts'
import {
  createEndpoint,
  deleteEndpoint,
  type NewEndpoint,
  pauseEndpoint,
  resumeEndpoint,
  updateEndpoint,
} from '../../endpoints/save.ts'
import { type PageInput, readPage } from '../../postgres/keyset.ts'
import { testEndpoint } from '../../routing/test-delivery.ts'
import type { Reach, Viewer } from '../../tenants/access.ts'
import { resolveReach, resolveTenant } from '../../tenants/find.ts'
import { known } from './known.ts'
import type { CapabilityParts, TenantKey } from './parts.ts'

/** What resolvers may ask about endpoints. */
export function endpointCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  const scope = { orm, defaultTenantId: parts.defaultTenantId }
  return {
    async create(viewer: Viewer, { tenant, ...input }: NewEndpoint & { tenant?: TenantKey }) {
      return createEndpoint(parts, viewer, await resolveTenant(scope, viewer, tenant, ['input', 'tenant']), input)
    },
    update: async (viewer: Viewer, id: string, input: EndpointSettings & CredentialSettings) =>
      updateEndpoint(parts, viewer, known('ep', id), input),
    pause: async (viewer: Viewer, id: string) => pauseEndpoint(parts, viewer, known('ep', id)),
    resume: async (viewer: Viewer, id: string) => resumeEndpoint(parts, viewer, known('ep', id)),
    delete: async (viewer: Viewer, id: string) => deleteEndpoint(parts, viewer, known('ep', id)),
    /** Answers the id of the test's delivery. */
    test: async (viewer: Viewer, id: string, type: string | null | undefined) =>
      testEndpoint(parts, viewer, known('ep', id), type ?? null),
    async list(viewer: Viewer, tenant: TenantKey, filter: EndpointFilterInput | null | undefined, page: PageInput) {
      return listEndpoints(orm, await resolveReach(scope, viewer, tenant, ['tenant']), filter, readPage(page))
    },
    byIds: (reach: Reach, ids: readonly EndpointId[]) => findEndpoints(orm, reach, ids),
    filterFaults: (reach: Reach, ids: readonly EndpointId[]) => findFilterFaults(orm, reach, ids),
    credentials: (reach: Reach, ids: readonly EndpointId[]) => findCredentials(orm, reach, ids),
  }
}
