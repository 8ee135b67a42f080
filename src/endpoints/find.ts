import { and, inArray, isNull } from 'drizzle-orm'
import { type EndpointId, publicId } from '../../schema/ids.ts'
import type { EndpointState } from '../../schema/states.ts'
import { endpoints } from '../../schema/tables/endpoints.ts'
import { type Optional, readList } from '../input.ts'
import { Mistake } from '../mistake.ts'
import type { Orm } from '../postgres/client.ts'
import { type Page, type PageRequest, pageBounds, pageLimit, pageOrder, toPage } from '../postgres/keyset.ts'
import type { Reach } from '../tenants/access.ts'
import { inReach } from '../tenants/reach.ts'

export type Endpoint = typeof endpoints.$inferSelect

export const endpointNotFound = (id: EndpointId, path: readonly string[] = ['id']) =>
  new Mistake('NOT_FOUND', [...path], `There is no endpoint ${publicId('ep', id)}.`)

export type EndpointFilterInput = { states?: Optional<readonly EndpointState[]> }

/** The endpoints among these ids that can be seen; deleted ones cannot. */
export async function findEndpoints(orm: Orm, reach: Reach, ids: readonly EndpointId[]): Promise<Endpoint[]> {
  return orm
    .select()
    .from(endpoints)
    .where(and(inReach(endpoints.tenantId, reach), inArray(endpoints.id, [...ids]), isNull(endpoints.deletedAt)))
}

export async function listEndpoints(
  orm: Orm,
  reach: Reach,
  filter: Optional<EndpointFilterInput>,
  page: PageRequest,
): Promise<Page<Endpoint>> {
  const states = readList(filter?.states, ['filter', 'states'])
  const rows = await orm
    .select()
    .from(endpoints)
    .where(
      and(
        inReach(endpoints.tenantId, reach),
        isNull(endpoints.deletedAt),
        states === null ? undefined : inArray(endpoints.state, [...states]),
        ...pageBounds(endpoints.id, page),
      ),
    )
    .orderBy(pageOrder(endpoints.id, page))
    .limit(pageLimit(page))
  return toPage(rows, page)
}
