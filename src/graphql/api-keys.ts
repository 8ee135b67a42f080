import { publicId } from '../../schema/ids.ts'
import type { ApiKey } from '../tenants/find-callers.ts'
import { builder } from './builder.ts'
import { CredentialStateEnum } from './credential-state.ts'
import { ScopeEnum } from './enums.ts'
import { payload, payloadOf } from './errors.ts'
import { listOf } from './lists.ts'
import { payloadType, payloadWith } from './payloads.ts'
import { NodeRef, TenantRef } from './refs.ts'

export const ApiKeyRef = builder.objectRef<ApiKey>('ApiKey').implement({
  description: 'A credential of the API. Its text is shown once, and kept nowhere.',
  // Wherever one may turn up.
  authScopes: { admin: true },
  interfaces: [NodeRef],
  fields: (t) => ({
    id: t.id({ description: 'The id, `key_…`.', resolve: ({ id }) => publicId('key', id) }),
    tenant: t.field({
      type: TenantRef,
      nullable: true,
      description: 'The tenant it is bound to; null when it is instance-wide.',
      resolve: ({ tenantId }, _, { loaders }) => (tenantId === null ? null : loaders.tenant.load(tenantId)),
    }),
    name: t.exposeString('name', { description: 'What it is for, like `billing service`.' }),
    hint: t.exposeString('hint', {
      nullable: true,
      description:
        'How its text begins, to recognise it: `prk_Xy3k`. Null for one of POSTRIDER_ADMIN_KEY that Postrider has not made, and for those older than hints.',
    }),
    scopes: t.field({
      type: [ScopeEnum],
      description: 'What it may do, as it was given: `viewer.scopes` has the included ones as well.',
      resolve: ({ scopes }) => scopes,
    }),
    state: t.expose('state', { type: CredentialStateEnum, description: 'Whether it opens anything.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      nullable: true,
      description: 'From when on it opens nothing; null when it never expires.',
    }),
    revokedAt: t.expose('revokedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was revoked; null when it was not.',
    }),
    lastUsedAt: t.expose('lastUsedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was last used, noted up to a minute late; null when it never was.',
    }),
  }),
})

const ApiKeyConnection = listOf(ApiKeyRef, 'API keys', 'An API key')

const ApiKeyFilter = builder.inputType('ApiKeyFilter', {
  description: 'Which API keys: AND between the fields.',
  fields: (t) => ({
    states: t.field({ type: [CredentialStateEnum], description: 'In one of these states, like `[ACTIVE]`.' }),
    instanceWide: t.boolean({
      description: 'With `tenant: "*"`: only instance-wide ones, or only those that are bound to a tenant.',
    }),
  }),
})

builder.queryField('apiKeys', (t) =>
  t.connection(
    {
      type: ApiKeyRef,
      description: 'The API keys of a tenant, newest first, with those that have ended. Takes ADMIN.',
      authScopes: { admin: true },
      args: {
        tenant: t.arg.string({
          description:
            'The tenant’s key. Absent: the API key’s own, or `default`. Instance-wide ADMIN: `*` for all, with those that are bound to none.',
        }),
        filter: t.arg({ type: ApiKeyFilter, description: 'Which of them.' }),
      },
      resolve: (_, { tenant, filter, ...page }, { viewer, apiKeys }) => apiKeys.list(viewer, tenant, filter, page),
    },
    ApiKeyConnection,
  ),
)

const ApiKeyCreateInput = builder.inputType('ApiKeyCreateInput', {
  description: 'A new API key.',
  fields: (t) => ({
    tenant: t.string({
      description:
        'The key of the tenant it is bound to. Absent: the tenant of the API key that makes it, or `default`. `*`: instance-wide, which takes an instance-wide ADMIN key.',
    }),
    name: t.string({
      required: true,
      description:
        'What it is for, as it stands in the audit log, like `billing service`: 1 to 200 characters, none of them invisible, and not `Postrider`.',
    }),
    scopes: t.field({
      type: [ScopeEnum],
      required: true,
      description: 'What it may do, like `[PUBLISH]`; no more than the key that makes it.',
    }),
    expiresAt: t.field({ type: 'DateTime', description: 'From when on it opens nothing. Absent: it never expires.' }),
  }),
})

const ApiKeyCreatePayload = payloadType<{ apiKey: ApiKey; key: string }>('apiKeyCreate', (t) => ({
  apiKey: t.expose('apiKey', {
    type: ApiKeyRef,
    nullable: true,
    description: 'The new API key; null when it was refused.',
  }),
  key: t.exposeString('key', {
    nullable: true,
    description: 'Its text, `prk_…`, shown this once; null when it was refused.',
  }),
}))

const ApiKeyRevokePayload = payloadWith('apiKey', ApiKeyRef, 'apiKeyRevoke', 'The API key as it is now')

builder.mutationFields((t) => ({
  apiKeyCreate: t.field({
    type: ApiKeyCreatePayload,
    description: 'Creates an API key, and shows its text this once.',
    authScopes: { admin: true },
    args: { input: t.arg({ type: ApiKeyCreateInput, required: true, description: 'What it is to be.' }) },
    resolve: (_, { input }, { viewer, apiKeys }) => payloadOf(['apiKey', 'key'], () => apiKeys.create(viewer, input)),
  }),
  apiKeyRevoke: t.field({
    type: ApiKeyRevokePayload,
    description:
      'Revokes an API key, with the portal sessions that it made: from now on they open nothing, and streams of theirs are ended. The last instance-wide ADMIN key is refused (`LAST_ADMIN_KEY`). That of POSTRIDER_ADMIN_KEY opens again at the next start unless it is taken away there first; taking it away alone revokes nothing.',
    authScopes: { admin: true },
    args: { id: t.arg.id({ required: true, description: 'The API key, `key_…`.' }) },
    resolve: (_, { id }, { viewer, apiKeys }) => payload('apiKey', () => apiKeys.revoke(viewer, id)),
  }),
}))
