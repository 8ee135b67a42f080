import { sql } from 'drizzle-orm'
import type { EndpointId, TenantId } from '../../schema/ids.ts'
import type { Orm } from '../postgres/client.ts'
import { eraseSealed } from './erase-sealed.ts'

/**
 * Deletes every endpoint of a tenant that nobody can make another one for any more, as `deleteEndpoint` does: their secrets are
 * erased, and the promoter cancels what is pending, bit by bit. Returns how many they were.
 */
export async function deleteEndpointsOf(orm: Pick<Orm, 'execute'>, tenant: TenantId, now: Date): Promise<number> {
  // Against everybody, and in the one order: whoever creates deliveries, admits them or asks for one by hand has done so before
  // the next statement looks, or sees that they are deleted.
  const ids = (
    await orm.execute<{ id: EndpointId }>(sql`
      select id from postrider.endpoints where tenant_id = ${tenant} and deleted_at is null order by id for update`)
  ).map(({ id }) => id)
  if (ids.length === 0) return 0
  const all = sql`any(${sql.param(ids)}::uuid[])`
  // The promoter has a transaction for each that is flagged: not for the many that nothing is left of.
  await orm.execute(sql`
    update postrider.endpoints endpoint set deleted_at = ${now.toISOString()}, updated_at = ${now.toISOString()},
      backlog = backlog or exists (
        select from postrider.deliveries
        where endpoint_id = endpoint.id and (ticket_id is not null or waiting_for is not null)
      ) or exists (select from postrider.lanes where endpoint_id = endpoint.id)
    where id = ${all}`)
  await eraseSealed(orm, ids)
  return ids.length
}
