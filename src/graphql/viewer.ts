import type { GraphQLSchema } from 'graphql'
import { type Id, publicId } from '../../schema/ids.ts'
import type { ActorKind } from '../../schema/states.ts'
import { effectiveScopes, type Viewer } from '../tenants/access.ts'
import { builder, mayUse } from './builder.ts'
import { ScopeEnum } from './enums.ts'
import { TenantRef } from './refs.ts'

type CredentialKind = Exclude<ActorKind, 'SYSTEM'>

const CredentialKindEnum = builder.enumType('CredentialKind', {
  description: 'What somebody shows to be let in.',
  values: {
    API_KEY: { description: 'An API key, `prk_…`.' },
    PORTAL_SESSION: { description: 'The token of a portal session, `prs_…`.' },
  } satisfies Record<CredentialKind, object>,
})

const ViewerRef = builder.objectRef<Viewer>('Viewer').implement({
  description: 'Who is asking: the API key or portal session of this request.',
  fields: (t) => ({
    id: t.id({
      description: 'The id of the API key, `key_…`, or of the portal session, `pts_…`.',
      resolve: ({ kind, id }) => publicId(kind === 'API_KEY' ? 'key' : 'pts', id as Id),
    }),
    kind: t.field({
      type: CredentialKindEnum,
      description: 'What was shown.',
      resolve: ({ kind }) => kind as CredentialKind,
    }),
    name: t.exposeString('name', {
      description: 'What the credential was called when it was made, like `billing service`.',
    }),
    scopes: t.field({
      type: [ScopeEnum],
      description: 'What it may do, with the scopes that its own include: `[READ, MANAGE]` for MANAGE.',
      resolve: (viewer) => effectiveScopes(viewer),
    }),
    mayUse: t.stringList({
      description:
        'The fields of Query, Mutation and Subscription that it may use, in the order of the alphabet: `["endpoint", "endpoints", …]`. What they show and change is that of its tenant, where it is bound to one.',
      resolve: (viewer, _, __, { schema }) => fieldsFor(viewer, schema),
    }),
    tenant: t.field({
      type: TenantRef,
      nullable: true,
      description: 'The tenant it is bound to; null when it is instance-wide.',
      resolve: ({ tenantId }, _, { loaders }) => (tenantId === null ? null : loaders.tenant.load(tenantId)),
    }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      nullable: true,
      description: 'From when on it opens nothing; null when it never expires.',
    }),
  }),
})

builder.queryField('viewer', (t) =>
  t.field({
    type: ViewerRef,
    description: 'Who this credential is and what it may do.',
    authScopes: { any: true },
    resolve: (_, __, { viewer }) => viewer,
  }),
)

function fieldsFor(viewer: Viewer, schema: GraphQLSchema): string[] {
  return [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]
    .flatMap((type) => Object.values(type?.getFields() ?? {}))
    .filter((field) => mayUse(viewer, field))
    .map(({ name }) => name)
    .sort()
}
