import { and, eq, isNull } from 'drizzle-orm'
import { publicId, type TenantId } from '../../schema/ids.ts'
import { OPERATIONS_TENANT } from '../../schema/operational-events.ts'
import { apiKeys } from '../../schema/tables/api-keys.ts'
import { tenants } from '../../schema/tables/tenants.ts'
import { recordAction } from '../audit/record.ts'
import { deleteEndpointsOf } from '../endpoints/delete-all.ts'
import { Mistake } from '../mistake.ts'
import type { Db } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { again } from '../postgres/deadlock.ts'
import type { Wake } from '../queue/wake.ts'
import type { Viewer } from '../tenants/access.ts'
import { DEFAULT_TENANT, type Tenant } from '../tenants/find.ts'
import { revokeSessionsOfTenant } from '../tenants/portal-sessions.ts'
import { tenantNotFound } from '../tenants/save.ts'

export type DeleteTenantContext = { db: Pick<Db, 'orm'>; wake: Pick<Wake, 'signal'>; clock: Clock }

const BUILT_IN = [DEFAULT_TENANT, OPERATIONS_TENANT]

/**
 * The tenant is gone for whoever names it, its endpoints are deleted, its keys and portal sessions open nothing any more. What
 * is pending is cancelled, running replays end by themselves. History stays until retention drops it. An event that is just
 * being published is routed to nobody. Mistakes: NOT_FOUND, BUILT_IN_TENANT at `id`.
 */
export async function deleteTenant(
  { db, wake, clock }: DeleteTenantContext,
  viewer: Viewer,
  id: TenantId,
): Promise<Tenant> {
  const deleted = await again(() => db.orm.transaction((tx) => deleteIn(tx, viewer, id, clock.now())))
  wake.signal('credentials')
  wake.signal('promote')
  wake.signal('replays')
  return deleted
}

type Transaction = Parameters<Parameters<Db['orm']['transaction']>[0]>[0]

async function deleteIn(tx: Transaction, viewer: Viewer, id: TenantId, now: Date): Promise<Tenant> {
  // Whoever is making something for it holds it: they come first, and what they made is seen below.
  const [tenant] = await tx
    .select()
    .from(tenants)
    .where(and(eq(tenants.id, id), isNull(tenants.deletedAt)))
    .for('update')
  if (!tenant) throw tenantNotFound()
  if (BUILT_IN.includes(tenant.key)) {
    const message = `The tenant ${tenant.key} belongs to every installation. Delete its endpoints with endpointDelete if it is to be silent.`
    throw new Mistake('BUILT_IN_TENANT', ['id'], message)
  }
  await tx.update(tenants).set({ deletedAt: now }).where(eq(tenants.id, id))
  const endpoints = await deleteEndpointsOf(tx, id, now)
  const keys = await tx
    .update(apiKeys)
    .set({ revokedAt: now })
    .where(and(eq(apiKeys.tenantId, id), isNull(apiKeys.revokedAt)))
    .returning({ id: apiKeys.id })
  const portalSessions = await revokeSessionsOfTenant(tx, id, now)
  const details = { key: tenant.key, name: tenant.name, endpoints, apiKeys: keys.length, portalSessions }
  await recordAction(tx, viewer, { action: 'TENANT_DELETE', tenantId: id, object: publicId('ten', id), details }, now)
  return { ...tenant, deletedAt: now }
}
