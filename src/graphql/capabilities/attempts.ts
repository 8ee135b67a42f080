import type { AttemptId, DeliveryId } from '../../../schema/ids.ts'
import { type AttemptFilterInput, readAttemptFilter } from '../../attempts/filter.ts'
import { findAttempts, findResponseBodies, listAttempts, listAttemptsOfDeliveries } from '../../attempts/find.ts'
import { type PageInput, type PageRequest, readPage } from '../../postgres/keyset.ts'
import type { Reach, Viewer } from '../../tenants/access.ts'
import { resolveReach } from '../../tenants/find.ts'
import type { CapabilityParts, TenantKey } from './parts.ts'
import { scan } from './scan.ts'

/** What resolvers may ask about attempts. */
export function attemptCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  const scope = { orm, defaultTenantId: parts.defaultTenantId }
  return {
    async list(viewer: Viewer, tenant: TenantKey, filter: AttemptFilterInput | null | undefined, page: PageInput) {
      const reach = await resolveReach(scope, viewer, tenant, ['tenant'])
      const [read, request] = [readAttemptFilter(filter), readPage(page)]
      // Taken before the page is read: what is recorded in between is in both, and nothing is in neither.
      const feedCursor = await parts.feed.cursor(reach)
      const found = await scan(parts, reach, filter, (orm) => listAttempts(orm, reach, read, request))
      return { ...found, feedCursor }
    },
    async ofDeliveries(reach: Reach, ids: readonly DeliveryId[], page: PageRequest) {
      const feedCursor = await parts.feed.cursor(reach)
      const pages = await listAttemptsOfDeliveries(orm, reach, ids, page)
      return pages.map((one) => ({ ...one, feedCursor }))
    },
    byIds: (reach: Reach, ids: readonly AttemptId[]) => findAttempts(orm, reach, ids),
    bodies: (reach: Reach, ids: readonly AttemptId[]) => findResponseBodies(orm, reach, ids),
    async feedCursor(viewer: Viewer, tenant: TenantKey) {
      return parts.feed.cursor(await resolveReach(scope, viewer, tenant, ['tenant']))
    },
    async follow(
      viewer: Viewer,
      tenant: TenantKey,
      filter: AttemptFilterInput | null | undefined,
      after: string | null,
    ) {
      const reach = await resolveReach(scope, viewer, tenant, ['tenant'])
      return parts.feed.subscribe({ tenant: reach, filter: readAttemptFilter(filter), after })
    },
  }
}
