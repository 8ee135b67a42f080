import { and, inArray } from 'drizzle-orm'
import type { ReplayId } from '../../schema/ids.ts'
import type { ReplayState } from '../../schema/states.ts'
import { replays } from '../../schema/tables/replays.ts'
import { type Optional, readList } from '../input.ts'
import type { Orm } from '../postgres/client.ts'
import { type Page, type PageRequest, pageBounds, pageLimit, pageOrder, toPage } from '../postgres/keyset.ts'
import type { Reach } from '../tenants/access.ts'
import { inReach } from '../tenants/reach.ts'

export type Replay = typeof replays.$inferSelect

export type ReplayFilterInput = { states?: Optional<readonly ReplayState[]> }

/** The replays among these ids that can be seen. */
export async function findReplays(orm: Orm, reach: Reach, ids: readonly ReplayId[]): Promise<Replay[]> {
  return orm
    .select()
    .from(replays)
    .where(and(inReach(replays.tenantId, reach), inArray(replays.id, [...ids])))
}

/** Newest first. */
export async function listReplays(
  orm: Orm,
  reach: Reach,
  filter: Optional<ReplayFilterInput>,
  page: PageRequest,
): Promise<Page<Replay>> {
  const states = readList(filter?.states, ['filter', 'states'])
  const rows = await orm
    .select()
    .from(replays)
    .where(
      and(
        inReach(replays.tenantId, reach),
        states === null ? undefined : inArray(replays.state, [...states]),
        ...pageBounds(replays.id, page),
      ),
    )
    .orderBy(pageOrder(replays.id, page))
    .limit(pageLimit(page))
  return toPage(rows, page)
}
