import { sql } from 'drizzle-orm'
import type { EndpointId } from '../../schema/ids.ts'
import type { Orm } from '../postgres/client.ts'

// A transaction of this many rows is over in tens of milliseconds; a million at once took more than the 30 s a statement may.
const CHUNK = 1000

/**
 * Cancels some of what is pending for a deleted endpoint, and what was asked for by hand of its settled deliveries.
 * Returns whether that was all. Whoever is pending has a ticket or a reason to wait, so two small indexes find them.
 */
export async function cancelSomeDeliveries(
  orm: Pick<Orm, 'execute'>,
  endpoint: EndpointId,
  now: Date,
): Promise<boolean> {
  const cancelled = await orm.execute(sql`
    with chosen as materialized (
      select id from postrider.deliveries
      where endpoint_id = ${endpoint} and (ticket_id is not null or waiting_for is not null) limit ${CHUNK} for update
    )
    update postrider.deliveries delivery set
      state = case state when 'PENDING' then 'CANCELLED' else state end,
      settled_at = coalesce(settled_at, ${now.toISOString()}::timestamptz),
      ticket_id = null, waiting_for = null, next_attempt_at = null, requested_trigger = null, requested_at = null,
      replay_id = null
    from chosen where delivery.id = chosen.id`)
  return cancelled.count < CHUNK
}
