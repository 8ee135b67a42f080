import { sql } from 'drizzle-orm'
import type { EndpointId } from '../../schema/ids.ts'
import type { Db, Orm } from '../postgres/client.ts'
import { again } from '../postgres/deadlock.ts'

/**
 * Cancels what is left of a deleted endpoint, bit by bit; says whether that was all. Under a lock against everybody: nobody
 * asks for a retry by hand unseen, and nothing more joins what waits. What is deleted is read by nobody who would.
 */
export function finishDeletion(db: Pick<Db, 'orm'>, endpoint: EndpointId, now: Date): Promise<boolean> {
  return again(() =>
    db.orm.transaction(async (tx) => {
      await tx.execute(sql`select from postrider.endpoints where id = ${endpoint} for update`)
      const all = (await cancelSomeDeliveries(tx, endpoint, now)) && (await dropSomeLanes(tx, endpoint))
      if (all) await tx.execute(sql`update postrider.endpoints set backlog = false where id = ${endpoint}`)
      return all
    }),
  )
}

// A transaction of this many rows is over in tens of milliseconds; a million at once took more than the 30 s a statement may.
const CHUNK = 1000

/**
 * Cancels some of what is pending for a deleted endpoint, and what was asked for by hand of its settled deliveries.
 * Returns whether that was all. Whoever is pending has a ticket or a reason to wait, so two small indexes find them.
 */
async function cancelSomeDeliveries(orm: Pick<Orm, 'execute'>, endpoint: EndpointId, now: Date): Promise<boolean> {
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

// A million ordering keys took a second in one statement, and thirty would take longer than a statement may.
const MOST_LANES = 50_000

async function dropSomeLanes(orm: Pick<Orm, 'execute'>, endpoint: EndpointId): Promise<boolean> {
  const dropped = await orm.execute(sql`
    delete from postrider.lanes where ctid = any(array(select ctid from postrider.lanes where endpoint_id = ${endpoint} limit ${MOST_LANES}))
      and endpoint_id = ${endpoint}`)
  return dropped.count < MOST_LANES
}
