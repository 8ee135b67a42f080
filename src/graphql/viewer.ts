import { type ApiKeyId, publicId } from '../../schema/ids.ts'
import type { Viewer } from '../tenants/access.ts'
import { builder } from './builder.ts'
import { ScopeEnum } from './enums.ts'
import { TenantRef } from './refs.ts'

const ViewerRef = builder.objectRef<Viewer>('Viewer').implement({
  description: 'Who is asking: the API key of this request.',
  fields: (t) => ({
    id: t.id({ description: 'The id of the key, `key_…`.', resolve: ({ id }) => publicId('key', id as ApiKeyId) }),
    name: t.exposeString('name', { description: 'What the key was called when it was made, like `billing service`.' }),
    scopes: t.field({
      type: [ScopeEnum],
      description: 'What the key may do.',
      resolve: ({ scopes }) => [...scopes],
    }),
    tenant: t.field({
      type: TenantRef,
      nullable: true,
      description: 'The tenant the key is bound to; null when it is instance-wide.',
      resolve: ({ tenantId }, _, { loaders }) => (tenantId === null ? null : loaders.tenant.load(tenantId)),
    }),
  }),
})

builder.queryField('viewer', (t) =>
  t.field({
    type: ViewerRef,
    description: 'Who this API key is and what it may do.',
    authScopes: { any: true },
    resolve: (_, __, { viewer }) => viewer,
  }),
)
