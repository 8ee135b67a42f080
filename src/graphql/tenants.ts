import { publicId, type TenantId } from '../../schema/ids.ts'
import type { Loaders } from './loaders.ts'
import { NodeRef, TenantRef } from './refs.ts'

TenantRef.implement({
  description:
    'A customer account that owns endpoints and events. An installation has `default`, and `operations`, whose endpoints hear of all tenants.',
  interfaces: [NodeRef],
  fields: (t) => ({
    id: t.id({ description: 'The id, `ten_…`.', resolve: ({ id }) => publicId('ten', id) }),
    key: t.exposeString('key', { description: 'How calls name it in their `tenant` argument, like `acme`.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
  }),
})

/** The tenant of an object that can be seen: it exists. */
export async function tenantOf({ tenantId }: { tenantId: TenantId }, loaders: Loaders) {
  const tenant = await loaders.tenant.load(tenantId)
  if (tenant === null) throw new Error(`Tenant ${tenantId} has objects but no row`)
  return tenant
}
