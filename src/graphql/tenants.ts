import { publicId, type TenantId } from '../../schema/ids.ts'
import { builder } from './builder.ts'
import { payload } from './errors.ts'
import { listOf } from './lists.ts'
import type { Loaders } from './loaders.ts'
import { payloadWith } from './payloads.ts'
import { NodeRef, TenantRef } from './refs.ts'

TenantRef.implement({
  description:
    'A customer account that owns endpoints and events. An installation has `default`, and `operations`, whose endpoints hear of all tenants.',
  interfaces: [NodeRef],
  fields: (t) => ({
    id: t.id({ description: 'The id, `ten_…`.', resolve: ({ id }) => publicId('ten', id) }),
    key: t.exposeString('key', { description: 'How calls name it in their `tenant` argument, like `acme`.' }),
    name: t.exposeString('name', {
      nullable: true,
      description: 'What people call it, like `Acme Inc.`; null when no name was given.',
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
    deletedAt: t.expose('deletedAt', {
      type: 'DateTime',
      nullable: true,
      description:
        'When it was deleted; null while it lives. A deleted one is named by its history, until that is dropped.',
    }),
  }),
})

/** The tenant of an object that can be seen: it exists. */
export async function tenantOf({ tenantId }: { tenantId: TenantId }, loaders: Loaders) {
  const tenant = await loaders.tenant.load(tenantId)
  if (tenant === null) throw new Error(`Tenant ${tenantId} has objects but no row`)
  return tenant
}

const TenantConnection = listOf(TenantRef, 'tenants', 'A tenant')

builder.queryFields((t) => ({
  tenant: t.field({
    type: TenantRef,
    nullable: true,
    description:
      'A tenant by its id or its key; null when there is none, or the credential is bound to another one. By its id it is found after its deletion, too.',
    authScopes: { read: true },
    args: {
      id: t.arg.id({ description: 'The tenant, `ten_…`. Either this or `key`.' }),
      key: t.arg.string({ description: 'Its key, like `acme`.' }),
    },
    resolve: (_, args, { viewer, tenants }) => tenants.find(viewer, args),
  }),
  tenants: t.connection(
    {
      type: TenantRef,
      description:
        'The tenants, newest first, without deleted ones. Takes ADMIN. A key that is bound to a tenant sees that one.',
      authScopes: { admin: true },
      resolve: (_, page, { viewer, tenants }) => tenants.list(viewer, page),
    },
    TenantConnection,
  ),
}))

const NAME = 'What people call it, like `Acme Inc.`: up to 200 characters.'

const TenantCreateInput = builder.inputType('TenantCreateInput', {
  description: 'A new tenant.',
  fields: (t) => ({
    key: t.string({
      required: true,
      description:
        'How calls are to name it, like `acme` or your own id of the customer: 1 to 64 letters, digits, `_`, `.`, `:` or `-`, the first a letter or digit. It cannot be changed. That of a deleted tenant may be given again: the new one has nothing of the old one.',
    }),
    name: t.string({ description: `${NAME} Absent: none.` }),
  }),
})

const TenantUpdateInput = builder.inputType('TenantUpdateInput', {
  description: 'What to change. Absent: unchanged. Null: back to the default.',
  fields: (t) => ({ name: t.string({ description: `${NAME} Null: none.` }) }),
})

const TenantCreatePayload = payloadWith('tenant', TenantRef, 'tenantCreate', 'The new tenant')
const TenantUpdatePayload = payloadWith('tenant', TenantRef, 'tenantUpdate', 'The tenant as it is now')
const TenantDeletePayload = payloadWith('tenant', TenantRef, 'tenantDelete', 'The tenant as it was')

const ID = { required: true, description: 'The tenant, `ten_…`.' } as const

builder.mutationFields((t) => ({
  tenantCreate: t.field({
    type: TenantCreatePayload,
    description: 'Creates a tenant. Takes an instance-wide key.',
    authScopes: { instanceAdmin: true },
    args: { input: t.arg({ type: TenantCreateInput, required: true, description: 'What it is to be.' }) },
    resolve: (_, { input }, { viewer, tenants }) => payload('tenant', () => tenants.create(viewer, input)),
  }),
  tenantUpdate: t.field({
    type: TenantUpdatePayload,
    description: 'Changes a tenant. Takes an instance-wide key.',
    authScopes: { instanceAdmin: true },
    args: {
      id: t.arg.id(ID),
      input: t.arg({ type: TenantUpdateInput, required: true, description: 'What to change.' }),
    },
    resolve: (_, { id, input }, { viewer, tenants }) => payload('tenant', () => tenants.update(viewer, id, input)),
  }),
  tenantDelete: t.field({
    type: TenantDeletePayload,
    description:
      'Deletes a tenant at once and for good: its API keys and portal sessions are revoked, its endpoints deleted with their secrets, what is pending is cancelled, and publishing to it is NOT_FOUND. What happened stays on record until retention drops it. `default` and `operations` cannot be deleted. Takes an instance-wide key.',
    authScopes: { instanceAdmin: true },
    args: { id: t.arg.id(ID) },
    resolve: (_, { id }, { viewer, tenants }) => payload('tenant', () => tenants.delete(viewer, id)),
  }),
}))
