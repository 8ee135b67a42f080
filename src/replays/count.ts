import { and, eq, lte, type SQL, sql } from 'drizzle-orm'
import { type DeliveryId, type EndpointId, lowestIdAt, type TenantId } from '../../schema/ids.ts'
import type { DeliveryState, EndpointState } from '../../schema/states.ts'
import { deliveries } from '../../schema/tables/deliveries.ts'
import type { StoredSelection } from '../../schema/tables/replays.ts'
import { deliveryCondition } from '../deliveries/find.ts'
import { refusalWithoutPayload, type Wishes } from '../endpoints/decide.ts'
import type { Orm } from '../postgres/client.ts'
import { keptSince, type Retention } from '../postgres/days.ts'
import type { Scans } from '../postgres/scans.ts'
import { type Bounds, boundsOfSelection, filterOf, type Missed, missedOf, PATH } from './selection.ts'

/** Why something that is selected is not sent. */
export type SkipReason = 'PENDING' | 'TEST' | 'ENDPOINT_DELETED' | 'PAYLOAD_GONE'

/** Some of what a selection holds. `state`: null where there is no delivery yet. `skipped`: null where it will be sent. */
export type Counted = {
  endpointId: EndpointId
  endpointState: EndpointState
  state: DeliveryState | null
  skipped: SkipReason | null
  count: number
  oldest: string
  /** Whether the endpoint's filter decides about them as well: so many are not sent, and nobody knows how many before. */
  filtered?: boolean
}

/** `keptFrom`: what is older has no payload any more. */
type KeptBounds = Bounds & { keptFrom: string }

type CountContext = { scans: Scans; operationsTenantId: TenantId; retention: Retention }

/** What a selection holds now, up to this moment. Mistakes: TOO_MUCH_TO_READ. */
export function countSelection(
  context: CountContext,
  tenant: TenantId,
  selection: StoredSelection,
  now: Date,
): Promise<Counted[]> {
  const bounds = boundsOfSelection(selection, now)
  const { scans, operationsTenantId, retention } = context
  const keptFrom = lowestIdAt(keptSince(now, retention.bodyDays).getTime())
  return scans.run(tenant, PATH, (orm) =>
    'missed' in selection
      ? countMissed({ orm, operationsTenantId }, tenant, missedOf(selection), { ...bounds, keptFrom })
      : countDeliveries(orm, tenant, deliveryCondition(filterOf(selection)), { ...bounds, keptFrom }),
  )
}

async function countDeliveries(
  orm: Orm,
  tenant: TenantId,
  filter: SQL | undefined,
  { upTo, keptFrom }: KeptBounds,
): Promise<Counted[]> {
  const selected = and(eq(deliveries.tenantId, tenant), lte(deliveries.id, upTo as DeliveryId), filter)
  return orm.execute<Counted>(sql`
    select endpoint_id as "endpointId", endpoint.state as "endpointState", selected.state, selected.count, selected.oldest,
      case when is_pending then 'PENDING' when is_test then 'TEST' when endpoint.deleted_at is not null then 'ENDPOINT_DELETED'
        when is_gone then 'PAYLOAD_GONE' end as skipped
    from (
      select endpoint_id, state, count(*)::int, min(id::text) as oldest,
        state = 'PENDING' or requested_trigger is not null as is_pending,
        event_id in (select id from postrider.events where tenant_id = ${tenant} and is_test) as is_test,
        id < ${keptFrom} or event_id in (select id from postrider.events where tenant_id = ${tenant} and expunged_at is not null)
          as is_gone
      from ${deliveries} where ${selected} group by endpoint_id, state, is_pending, is_test, is_gone
    ) selected join postrider.endpoints endpoint on endpoint.id = endpoint_id`)
}

async function countMissed(
  { orm, operationsTenantId }: { orm: Orm; operationsTenantId: TenantId },
  tenant: TenantId,
  { endpointId }: Missed,
  { from, upTo, keptFrom }: KeptBounds,
): Promise<Counted[]> {
  const rows = await orm.execute<Counted & Wishes & { type: string; version: string | null; carried: string[] }>(sql`
    select endpoint.id as "endpointId", endpoint.state as "endpointState", endpoint.event_types as "eventTypes",
      endpoint.channels, versions, filter, null as state, case when is_gone then 'PAYLOAD_GONE' end as skipped,
      type, version, carried, count, oldest
    from (
      select type, version, event.channels as carried, count(*)::int, min(id::text) as oldest, id < ${keptFrom} or expunged_at is not null as is_gone
      from postrider.events event
      where tenant_id = ${tenant} and id between ${from} and ${upTo} and not is_test and routed_at is not null
        and not exists (select from postrider.lane_outbox where event_id = event.id)
        and not exists (
          select from postrider.deliveries
          where endpoint_id = ${endpointId} and event_id = event.id and deliveries.id between ${from} and ${upTo}
        )
      group by type, version, event.channels, is_gone
    ) missed join postrider.endpoints endpoint on endpoint.id = ${endpointId}`)
  const operations = tenant === operationsTenantId
  return rows
    .filter(({ type, version, carried, ...endpoint }) => {
      const event = { type, version, channels: carried, isTest: false, operations }
      return refusalWithoutPayload(event, endpoint) === null
    })
    .map((row) => ({ ...row, filtered: row.filter !== null }))
}

export function sumOf(counted: readonly Counted[]): number {
  return counted.reduce((sum, { count }) => sum + count, 0)
}
