import type { DeliveryId, EndpointId, EventId, ReplayId, TenantId } from '../../schema/ids.ts'
import type { StoredWait } from '../../schema/states.ts'
import type { Tx } from '../postgres/client.ts'
import { boundsOf } from '../postgres/time-range.ts'

/** A delivery that is to be: with a ticket, or with what it waits for. */
export type NewDelivery = {
  delivery: DeliveryId
  tenantId: TenantId
  event: { id: EventId; type: string }
  endpoint: EndpointId
  ticket: string | null
  /** What it waits for when it has no ticket. */
  waitingFor: StoredWait
  lane?: string | null
  sequence?: number | null
  replayId?: ReplayId | null
}

// Of a transaction that creates more, each statement stays short.
const MOST_PER_INSERT = 5000

/** Creates deliveries and returns the ids of those that are new: an id is derived from event and endpoint, so a second one cannot come to be. */
export async function createDeliveries(tx: Tx, wanted: readonly NewDelivery[], now: Date): Promise<Set<DeliveryId>> {
  const created = new Set<DeliveryId>()
  for (let at = 0; at < wanted.length; at += MOST_PER_INSERT) {
    const chunk = wanted.slice(at, at + MOST_PER_INSERT)
    const column = <T>(pick: (one: NewDelivery) => T) => chunk.map(pick) as never
    const rows = await tx<{ id: DeliveryId }[]>`
      insert into postrider.deliveries (
        id, tenant_id, event_id, endpoint_id, event_type, ticket_id, waiting_for, lane, sequence, replay_id, created_at
      )
      select id, tenant_id, event_id, endpoint_id, event_type, ticket_id, case when ticket_id is null then waiting_for end,
        lane, sequence, replay_id, ${now.toISOString()}
      from unnest(
        ${column(({ delivery }) => delivery)}::uuid[], ${column(({ tenantId }) => tenantId)}::uuid[],
        ${column(({ event }) => event.id)}::uuid[], ${column(({ endpoint }) => endpoint)}::uuid[],
        ${column(({ event }) => event.type)}::text[], ${column(({ ticket }) => ticket)}::uuid[],
        ${column(({ waitingFor }) => waitingFor)}::text[], ${column(({ lane = null }) => lane)}::text[],
        ${column(({ sequence = null }) => sequence)}::bigint[], ${column(({ replayId = null }) => replayId)}::uuid[]
      ) as made (id, tenant_id, event_id, endpoint_id, event_type, ticket_id, waiting_for, lane, sequence, replay_id)
      on conflict do nothing returning id`
    for (const { id } of rows) created.add(id)
  }
  return created
}

/** Those among these deliveries that there are already. */
export async function knownDeliveries(tx: Tx, ids: readonly DeliveryId[]): Promise<Set<DeliveryId>> {
  if (ids.length === 0) return new Set()
  const { lowest, highest } = boundsOf(ids)
  const rows = await tx<{ id: DeliveryId }[]>`
    select id from postrider.deliveries where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest}`
  return new Set(rows.map(({ id }) => id))
}
