import { type EventId, highestIdAt, lowestIdAt, newId, timeOf } from '../../schema/ids.ts'
import { ORDINARY } from '../events/bursts.ts'
import type { Db } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import type { Tickets } from '../queue/tickets.ts'

// What is younger may be on its way, or in a producer's transaction that is still open.
const PATIENCE_MS = 600_000
// Looked at again each time: a producer's transaction may commit an event so much later than the moment in its id.
const LATEST_COMMIT_MS = 3_600_000
const MOST_AT_ONCE_MS = 86_400_000
const MOST_AT_ONCE = 1000
// A sweep must come to its end before the next one.
const MOST_ROUNDS = 100

type SweepContext = { db: Db; tickets: Tickets; clock: Clock }

/**
 * Finds events that were accepted and never routed, and have no ticket that would bring it about; gives them one. Returns how
 * many. None are known to come about: an event and its ticket are written together.
 */
export async function sweepEvents(context: SweepContext): Promise<number> {
  let found = 0
  for (let round = 1; ; round++) {
    const some = await sweepSome(context)
    found += some
    if (some < MOST_AT_ONCE || round === MOST_ROUNDS) return found
  }
}

function sweepSome({ db, tickets, clock }: SweepContext): Promise<number> {
  const now = clock.now()
  return db.transaction(async (tx) => {
    const [seen] = await tx<[{ until: string }]>`
      select coalesce(routed_until, created_at) as until from postrider.installation for no key update`
    const newest = now.getTime() - PATIENCE_MS
    // It lies ahead where a clock was ahead for a moment: then nothing would be looked at until then.
    const since = Math.min(new Date(seen.until).getTime(), newest - LATEST_COMMIT_MS)
    const until = Math.min(newest, since + LATEST_COMMIT_MS + MOST_AT_ONCE_MS)
    const lost = await tx<{ id: EventId }[]>`
      with named as materialized (${tickets.namedEvents(tx)})
      select id from postrider.events
      where id between ${lowestIdAt(since)} and ${highestIdAt(until)} and routed_at is null and id not in (select id from named)
      order by id limit ${MOST_AT_ONCE}`
    const ids = lost.map(({ id }) => id)
    if (ids.length > 0)
      await tickets.enqueue(tx, 'outbox', [{ id: newId(now), priority: ORDINARY, data: { events: ids } }])
    const seenUntil = ids.length === MOST_AT_ONCE ? timeOf(ids.at(-1) as EventId) : until - LATEST_COMMIT_MS
    await tx`update postrider.installation set routed_until = ${new Date(Math.max(since, seenUntil)).toISOString()}`
    return ids.length
  })
}
