import { and, eq, inArray } from 'drizzle-orm'
import type { EndpointId } from '../../schema/ids.ts'
import { filterFaults } from '../../schema/tables/filter-faults.ts'
import type { Orm } from '../postgres/client.ts'
import type { Reach } from '../tenants/access.ts'
import { inReach } from '../tenants/reach.ts'

/** That a filter could not be evaluated for some events, since it was saved: the last of them. */
export type FilterFault = { id: EndpointId } & Omit<typeof filterFaults.$inferSelect, 'endpointId' | 'tenantId'>

/** What is known of the filters of some endpoints; those that were always evaluated are left out. */
export async function findFilterFaults(orm: Orm, reach: Reach, ids: readonly EndpointId[]): Promise<FilterFault[]> {
  const rows = await orm
    .select()
    .from(filterFaults)
    .where(and(inReach(filterFaults.tenantId, reach), inArray(filterFaults.endpointId, [...ids])))
  return rows.map(({ endpointId, ...row }) => ({ ...row, id: endpointId }))
}

/** Of a filter that was changed. */
export async function forgetFaults(orm: Pick<Orm, 'delete'>, id: EndpointId): Promise<void> {
  await orm.delete(filterFaults).where(eq(filterFaults.endpointId, id))
}
