import { publicId } from '../../schema/ids.ts'
import type { PortalScope } from '../../schema/states.ts'
import type { PortalSession } from '../tenants/find-callers.ts'
import { ApiKeyRef } from './api-keys.ts'
import { builder } from './builder.ts'
import { CredentialStateEnum } from './credential-state.ts'
import { payload, payloadOf } from './errors.ts'
import { listOf, WHOSE } from './lists.ts'
import { payloadType, payloadWith } from './payloads.ts'
import { NodeRef, TenantRef } from './refs.ts'
import { tenantOf } from './tenants.ts'

const PortalScopeEnum = builder.enumType('PortalScope', {
  description: 'What a portal session may do, within its tenant.',
  values: {
    READ: {
      description:
        'Read endpoints, events with their payloads, deliveries and attempts with what was answered, and follow the live feed.',
    },
    MANAGE: {
      description:
        'Create, change and delete endpoints, read and rotate their signing secrets, retry, cancel and replay deliveries, and expunge payloads for good. Includes READ.',
    },
  } satisfies Record<PortalScope, object>,
})

const PortalSessionRef = builder.objectRef<PortalSession>('PortalSession').implement({
  description:
    'A short-lived credential of one tenant, for a page that a customer has open. It makes no others. Ended ones are forgotten when their time is over.',
  // Wherever one may turn up.
  authScopes: { admin: true },
  interfaces: [NodeRef],
  fields: (t) => ({
    id: t.id({ description: 'The id, `pts_…`.', resolve: ({ id }) => publicId('pts', id) }),
    tenant: t.field({
      type: TenantRef,
      description: 'The tenant it is bound to.',
      resolve: (session, _, { loaders }) => tenantOf(session, loaders),
    }),
    apiKey: t.field({
      type: ApiKeyRef,
      nullable: true,
      description: 'The API key that made it; null when you cannot see that, because it is not the tenant’s.',
      resolve: ({ apiKeyId }, _, { loaders }) => loaders.apiKey.load(apiKeyId),
    }),
    name: t.exposeString('name', { description: 'Who it is for, like `jane@acme.example`.' }),
    scope: t.expose('scope', { type: PortalScopeEnum, description: 'What it may do.' }),
    state: t.expose('state', { type: CredentialStateEnum, description: 'Whether it opens anything.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
    expiresAt: t.expose('expiresAt', { type: 'DateTime', description: 'From when on it opens nothing.' }),
    revokedAt: t.expose('revokedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was revoked; null when it was not.',
    }),
  }),
})

const PortalSessionConnection = listOf(PortalSessionRef, 'portal sessions', 'A portal session')

const PortalSessionFilter = builder.inputType('PortalSessionFilter', {
  description: 'Which portal sessions.',
  fields: (t) => ({
    states: t.field({ type: [CredentialStateEnum], description: 'In one of these states, like `[ACTIVE]`.' }),
  }),
})

builder.queryField('portalSessions', (t) =>
  t.connection(
    {
      type: PortalSessionRef,
      description:
        'The portal sessions of a tenant, newest first; those that have expired are soon forgotten. Takes ADMIN.',
      authScopes: { admin: true },
      args: {
        tenant: t.arg.string({
          description: WHOSE,
        }),
        filter: t.arg({ type: PortalSessionFilter, description: 'Which of them.' }),
      },
      resolve: (_, { tenant, filter, ...page }, { viewer, portalSessions }) =>
        portalSessions.list(viewer, tenant, filter, page),
    },
    PortalSessionConnection,
  ),
)

const PortalSessionCreateInput = builder.inputType('PortalSessionCreateInput', {
  description: 'A new portal session.',
  fields: (t) => ({
    tenant: t.string({ description: 'The key of its tenant. Absent: the API key’s own, or `default`.' }),
    scope: t.field({ type: PortalScopeEnum, required: true, description: 'What it may do, within its tenant.' }),
    expiresInSeconds: t.int({ description: 'Seconds that it lasts: 60 to 86400 (a day). Default: 3600.' }),
    name: t.string({
      description:
        'Who it is for, as it stands in the audit log, like `jane@acme.example`: up to 200 characters, none of them invisible, and not `Postrider`. Default: `portal session`.',
    }),
  }),
})

const PortalSessionCreatePayload = payloadType<{ portalSession: PortalSession; token: string }>(
  'portalSessionCreate',
  (t) => ({
    portalSession: t.expose('portalSession', {
      type: PortalSessionRef,
      nullable: true,
      description: 'The new portal session; null when it was refused.',
    }),
    token: t.exposeString('token', {
      nullable: true,
      description:
        'Its text, `prs_…`, shown this once: for `authorization: Bearer prs_…`, as an API key. Null when it was refused.',
    }),
  }),
)

const PortalSessionRevokePayload = payloadWith(
  'portalSession',
  PortalSessionRef,
  'portalSessionRevoke',
  'The portal session as it is now',
)

builder.mutationFields((t) => ({
  portalSessionCreate: t.field({
    type: PortalSessionCreatePayload,
    description:
      'Makes a short-lived token for one tenant, to be handed to the page of a customer who has signed in at yours. It ends by itself, with its tenant, and when the API key that made it is revoked.',
    authScopes: { admin: true },
    args: { input: t.arg({ type: PortalSessionCreateInput, required: true, description: 'What it is to be.' }) },
    resolve: (_, { input }, { viewer, portalSessions }) =>
      payloadOf(['portalSession', 'token'], () => portalSessions.create(viewer, input)),
  }),
  portalSessionRevoke: t.field({
    type: PortalSessionRevokePayload,
    description: 'Ends a portal session: from now on it opens nothing, and streams of it are ended.',
    authScopes: { admin: true },
    args: { id: t.arg.id({ required: true, description: 'The portal session, `pts_…`.' }) },
    resolve: (_, { id }, { viewer, portalSessions }) =>
      payload('portalSession', () => portalSessions.revoke(viewer, id)),
  }),
}))
