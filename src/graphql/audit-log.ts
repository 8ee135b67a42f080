import { type ApiKeyId, type PortalSessionId, publicId } from '../../schema/ids.ts'
import type { AuditEntry } from '../audit/find.ts'
import { builder } from './builder.ts'
import { ActorKindEnum, AuditActionEnum } from './enums.ts'
import { WHOSE } from './lists.ts'
import { AuditEntryConnection, AuditEntryRef, NodeRef, TenantRef } from './refs.ts'

const ActorRef = builder.objectRef<AuditEntry>('AuditActor').implement({
  description: 'Who did something, as it was then.',
  fields: (t) => ({
    kind: t.expose('actorKind', {
      type: ActorKindEnum,
      description: 'What kind of credential it was, or Postrider itself.',
    }),
    id: t.id({
      nullable: true,
      description: 'The id of the credential, `key_…` or `pts_…`; null for SYSTEM.',
      resolve: ({ actorKind, actorId }) => actorIdOf(actorKind, actorId),
    }),
    name: t.exposeString('actorName', { description: 'What the credential was called then, like `billing service`.' }),
  }),
})

function actorIdOf(kind: AuditEntry['actorKind'], id: string | null): string | null {
  if (id === null) return null
  return kind === 'API_KEY' ? publicId('key', id as ApiKeyId) : publicId('pts', id as PortalSessionId)
}

AuditEntryRef.implement({
  description:
    'Something that was changed, or a secret that was revealed: written in the transaction that did it, and kept for good. What was refused leaves none, and publishing none either: the event is its own record.',
  // Wherever one may turn up.
  authScopes: { admin: true },
  interfaces: [NodeRef],
  fields: (t) => ({
    id: t.id({ description: 'The id, `aud_…`.', resolve: ({ id }) => publicId('aud', id) }),
    action: t.expose('action', {
      type: AuditActionEnum,
      description: 'What was done, named after the mutation that does it where there is one, like `ENDPOINT_UPDATE`.',
    }),
    actor: t.field({ type: ActorRef, description: 'Who did it.', resolve: (entry) => entry }),
    tenant: t.field({
      type: TenantRef,
      nullable: true,
      description:
        'The tenant of what was changed, after its deletion too (`deletedAt`); null for what belongs to the instance.',
      resolve: ({ tenantId }, _, { loaders }) => (tenantId === null ? null : loaders.tenant.load(tenantId)),
    }),
    objectId: t.id({
      nullable: true,
      description: 'The id of what was changed, like `ep_…`; null where the action has no single object.',
      resolve: ({ object }) => object,
    }),
    details: t.field({
      type: 'JSON',
      description:
        'What else there is to tell, by action: `{ "url": { "from": "https://a.example/", "to": "https://b.example/" } }` for ENDPOINT_UPDATE. Never a secret.',
      resolve: ({ details }) => details,
    }),
    address: t.exposeString('address', {
      nullable: true,
      description: 'The IP address that the request came from, as Postrider saw it; null when there was no request.',
    }),
    at: t.expose('createdAt', { type: 'DateTime', description: 'When it was done.' }),
  }),
})

const AuditLogFilter = builder.inputType('AuditLogFilter', {
  description: 'Which entries: AND between the fields, OR inside each. Up to 100 values in a field.',
  fields: (t) => ({
    actions: t.field({
      type: [AuditActionEnum],
      description: 'One of these actions, like `[ENDPOINT_REVEAL_SECRET]`.',
    }),
    objectIds: t.idList({ description: 'Done to one of these: any ids, like `ep_…`, `dlv_…` or `key_…`.' }),
    actorIds: t.idList({ description: 'Done by one of these credentials: `key_…` or `pts_…`.' }),
    since: t.field({ type: 'DateTime', description: 'Done at this moment or later.' }),
    until: t.field({ type: 'DateTime', description: 'Done before this moment.' }),
  }),
})

builder.queryField('auditLog', (t) =>
  t.connection(
    {
      type: AuditEntryRef,
      description:
        'Who changed what, newest first. For ADMIN alone: it names other credentials and where they are used from. A key that is bound to a tenant sees that tenant’s; `*` also brings what belongs to no tenant.',
      authScopes: { admin: true },
      args: {
        tenant: t.arg.string({
          description: WHOSE,
        }),
        filter: t.arg({ type: AuditLogFilter, description: 'Which of them.' }),
      },
      resolve: (_, { tenant, filter, ...page }, { viewer, auditLog }) => auditLog.list(viewer, tenant, filter, page),
    },
    AuditEntryConnection,
  ),
)
