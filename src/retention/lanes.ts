import type { EndpointId } from '../../schema/ids.ts'
import { lockEndpoints } from '../deliveries/admit.ts'
import type { Db } from '../postgres/client.ts'
import { again } from '../postgres/deadlock.ts'

const MOST_AT_ONCE = 500

/**
 * Forgets lanes that are empty and were used for the last time before anything that is kept: an ordering key may never come
 * again. Should it come, its numbers begin anew.
 */
export async function forgetLanes(db: Db, end: Date): Promise<void> {
  for (;;) {
    const old = await db.sql<{ endpoint: EndpointId; lane: string }[]>`
      select endpoint_id as endpoint, lane from postrider.lanes
      where head is null and lane <> '' and used_at < ${end.toISOString()} limit ${MOST_AT_ONCE}`
    if (old.length === 0) return
    const endpoints = old.map(({ endpoint }) => endpoint)
    await again(() =>
      db.transaction(async (tx) => {
        // Whoever puts something into a lane holds its endpoint.
        await lockEndpoints(tx, endpoints)
        await tx`
          delete from postrider.lanes
          where (endpoint_id, lane) in (select * from unnest(${endpoints as never}::uuid[], ${old.map(({ lane }) => lane) as never}::text[]))
            and head is null and used_at < ${end.toISOString()}`
      }),
    )
  }
}
