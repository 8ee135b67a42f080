import { lowestIdAt, type ReplayId } from '../../schema/ids.ts'
import type { Db } from '../postgres/client.ts'

const MOST_AT_ONCE = 100

/** Forgets replays that ended before anything that is kept: of what they sent nothing is left. */
export async function forgetReplays(db: Db, end: Date): Promise<void> {
  for (;;) {
    const forgotten = await db.transaction(async (tx) => {
      // An id tells when its replay was started. One that is being cancelled at this moment is left for the next time.
      const old = await tx<{ id: ReplayId }[]>`
        select id from postrider.replays
        where id < ${lowestIdAt(end.getTime())} and finished_at < ${end.toISOString()} and next_turn_at is null
        order by id limit ${MOST_AT_ONCE} for update skip locked`
      const ids = old.map(({ id }) => id) as never
      await tx`delete from postrider.replay_parts where replay_id = any(${ids}::uuid[])`
      await tx`delete from postrider.replays where id = any(${ids}::uuid[])`
      return old.length
    })
    if (forgotten === 0) return
  }
}
