import type { DeliveryId } from '../../schema/ids.ts'
import type { Db } from '../postgres/client.ts'
import { boundsOf } from '../postgres/time-range.ts'
import type { Tickets } from '../queue/tickets.ts'
import { lockEndpoints, setBacklog, waitForRoom } from './admit.ts'
import type { PreparedBatch } from './prepare.ts'

/**
 * Puts back claimed deliveries that must not go now: those of paused and disabled endpoints wait as rows again, and
 * tickets that no delivery calls its own are dropped.
 */
export async function hold(
  { db, tickets }: { db: Db; tickets: Tickets },
  { held, idle }: Pick<PreparedBatch, 'held' | 'idle'>,
): Promise<void> {
  if (held.length + idle.length === 0) return
  await db.transaction(async (tx) => {
    const finished = await tickets.finish(tx, 'deliver', [...held, ...idle])
    const ours = held.filter(({ id }) => finished.has(id))
    if (ours.length === 0) return
    const ids = ours.map(({ data }) => data.delivery).sort() as DeliveryId[]
    const { lowest, highest } = boundsOf(ids)
    const endpoints = [...new Set(ours.map(({ data }) => data.endpoint))]
    // Before the deliveries, as everybody does.
    await lockEndpoints(tx, endpoints)
    await tx`
      update postrider.deliveries set ticket_id = null, waiting_for = ${waitForRoom(tx)}
      where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest}
        and ticket_id = any(${ours.map(({ id }) => id) as never}::uuid[])`
    await setBacklog(tx, endpoints, true)
  })
}
