import { type AttemptId, type DeliveryId, type EndpointId, type EventId, publicId, timeOf } from '../../schema/ids.ts'
import type { Sql } from '../../src/postgres/client.ts'
import type { Rows } from './history.ts'
import { TYPES } from './scenario.ts'

/** What the database says in the end. `names`: of endpoints, by their public ids. */
export async function readRows(sql: Sql, names: ReadonlyMap<string, string>): Promise<Rows> {
  const types = TYPES.slice() as never
  const events = await sql<{ id: EventId }[]>`select id from postrider.events where type = any(${types}::text[])`
  const deliveries = await sql<{ id: DeliveryId; event: EventId; endpoint: EndpointId; state: string }[]>`
    select id, event_id as event, endpoint_id as endpoint, state from postrider.deliveries`
  const attempts = await sql<{ id: AttemptId; delivery: DeliveryId; errorClass: string | null }[]>`
    select id, delivery_id as delivery, error_class as "errorClass" from postrider.attempts`
  return {
    events: events.map(({ id }) => publicId('evt', id)),
    deliveries: deliveries.map(({ id, event, endpoint, state }) => {
      const name = names.get(publicId('ep', endpoint)) ?? 'an endpoint that nobody made'
      return { id, eventId: publicId('evt', event), endpoint: name, state }
    }),
    attempts: attempts.map(({ id, delivery, errorClass }) => ({ delivery, errorClass, startedAt: timeOf(id) })),
    left: await countLeft(sql),
  }
}

/** What still has to go somewhere. */
export async function countLeft(sql: Sql): Promise<Record<string, number>> {
  const tickets = await sql<{ what: string; count: number }[]>`
    select name || ' tickets' || case when state = 'active' then ', claimed' else '' end as what, count(*)::int
    from postrider_queue.job where name in ('outbox', 'deliver', 'retry') and state in ('created', 'retry', 'active') group by 1`
  const [rows] = await sql<[{ waiting: number; ticketed: number; noted: number }]>`
    select (select count(*)::int from postrider.deliveries where waiting_for is not null) as waiting,
      (select count(*)::int from postrider.deliveries where ticket_id is not null) as ticketed,
      (select count(*)::int from postrider.lane_outbox) as noted`
  return {
    ...Object.fromEntries(tickets.map(({ what, count }) => [what, count])),
    'deliveries that wait': rows.waiting,
    'deliveries with a ticket': rows.ticketed,
    'events noted for lanes': rows.noted,
  }
}
