import type { DeliveryId, EndpointId, EventId } from '../../../schema/ids.ts'
import {
  type Delivery,
  type DeliveryFilterInput,
  findDeliveries,
  listDeliveries,
  listDeliveriesOfEndpoints,
  listDeliveriesOfEvents,
  plannedFor,
} from '../../deliveries/find.ts'
import { findSentBodies, type SentBody } from '../../deliveries/sent-body.ts'
import type { Endpoint } from '../../endpoints/find.ts'
import { type PageInput, type PageRequest, readPage } from '../../postgres/keyset.ts'
import type { Reach, Viewer } from '../../tenants/access.ts'
import { resolveReach } from '../../tenants/find.ts'
import { known } from './known.ts'
import type { CapabilityParts, TenantKey } from './parts.ts'
import { scan } from './scan.ts'

/** What resolvers may ask about deliveries. */
export function deliveryCapabilities(parts: CapabilityParts) {
  const { orm } = parts.db
  const scope = { orm, defaultTenantId: parts.defaultTenantId }
  return {
    /** Answers the delivery's id: what became of it is read anew. */
    async retry(viewer: Viewer, text: string): Promise<DeliveryId> {
      const id = known('dlv', text)
      await parts.redeliverer.retry(viewer, id)
      return id
    },
    async cancel(viewer: Viewer, text: string): Promise<DeliveryId> {
      const id = known('dlv', text)
      await parts.redeliverer.cancel(viewer, id)
      return id
    },
    async list(viewer: Viewer, tenant: TenantKey, filter: DeliveryFilterInput | null | undefined, page: PageInput) {
      const reach = await resolveReach(scope, viewer, tenant, ['tenant'])
      return scan(parts, reach, filter, (orm) => listDeliveries(orm, reach, filter, readPage(page)))
    },
    planned: (delivery: Delivery, endpoint: Endpoint | null) => plannedFor(delivery, endpoint, parts.clock.now()),
    ofEvents: (reach: Reach, ids: readonly EventId[], page: PageRequest) =>
      listDeliveriesOfEvents(orm, reach, ids, page),
    ofEndpoints: (reach: Reach, ids: readonly EndpointId[], page: PageRequest) =>
      listDeliveriesOfEndpoints(orm, reach, ids, page),
    byIds: (reach: Reach, ids: readonly DeliveryId[]) => findDeliveries(orm, reach, ids),
    sentBodies: (reach: Reach, wanted: readonly SentBody[]) => findSentBodies(orm, reach, wanted),
  }
}
