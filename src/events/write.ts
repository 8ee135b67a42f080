import type { EventId, TenantId } from '../../schema/ids.ts'
import type { SchemaFault } from '../../schema/tables/events.ts'
import type { Tx } from '../postgres/client.ts'

/** An event as it is stored; `payload` is JSON text. */
export type NewEvent = {
  id: EventId
  tenantId: TenantId
  type: string
  version: string | null
  channels: readonly string[]
  orderingKey: string | null
  occurredAt: Date
  payload: string
  /** Where it does not satisfy a schema that only warns. */
  schemaFaults?: readonly SchemaFault[]
}

/**
 * One statement for any number of events: rows travel as columns. Where the tenant has an ordered endpoint, events are noted
 * for its lanes as well, in their order; elsewhere that costs a look into an empty index.
 */
export async function insertEvents(tx: Tx, events: readonly NewEvent[]): Promise<void> {
  const column = <T>(pick: (event: NewEvent) => T) => events.map(pick) as never
  await tx`
    with event as materialized (
      select * from unnest(
        ${column((event) => event.id)}::uuid[], ${column((event) => event.tenantId)}::uuid[],
        ${column((event) => event.type)}::text[], ${column((event) => event.version)}::text[],
        ${column((event) => `{${event.channels.map((channel) => `"${channel}"`).join(',')}}`)}::text[], ${column((event) => event.orderingKey)}::text[],
        ${column((event) => event.occurredAt.toISOString())}::text[]::timestamptz[],
        ${column((event) => (event.schemaFaults ? JSON.stringify(event.schemaFaults) : null))}::text[]
      ) with ordinality as event (id, tenant_id, type, version, channels, ordering_key, occurred_at, schema_faults, place)
    ), written as (
      insert into postrider.events (id, tenant_id, type, version, channels, ordering_key, occurred_at, schema_faults)
      select id, tenant_id, type, version, channels::text[], ordering_key, occurred_at, schema_faults::jsonb from event
    ), ordered as (
      insert into postrider.lane_outbox (event_id, tenant_id)
      select id, tenant_id from event
      where tenant_id in (select tenant_id from postrider.endpoints where ordering <> 'NONE' and deleted_at is null)
      order by place
    )
    insert into postrider.event_payloads (id, payload)
    select id, payload from unnest(${column((event) => event.id)}::uuid[], ${column((event) => event.payload)}::text[]) as event (id, payload)`
}
