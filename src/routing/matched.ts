import type { EventId } from '../../schema/ids.ts'
import type { Tx } from '../postgres/client.ts'
import { boundsOf } from '../postgres/time-range.ts'

/**
 * Events that an endpoint turned out to want, apart from routing: it was changed, or came to be, after they were routed, or before
 * that and after they were put into lanes. Elsewhere nothing is written.
 */
export async function stampMatched(tx: Tx, ids: readonly EventId[]): Promise<void> {
  if (ids.length === 0) return
  const { lowest, highest } = boundsOf(ids)
  await tx`
    update postrider.events set matched = true
    where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest} and (matched is false or routed_at is null)`
}
