import { publicId } from '../../schema/ids.ts'
import type { Endpoint } from '../endpoints/find.ts'
import type { RevealedSecret } from '../endpoints/reveal-secret.ts'
import { DEFAULT_OVERLAP_SECONDS } from '../endpoints/rotate-secret.ts'
import { builder } from './builder.ts'
import { payloadOf } from './errors.ts'
import { payloadType } from './payloads.ts'
import { EndpointRef, NodeRef, SecretRef } from './refs.ts'

const SIGNS_UNTIL =
  'Until when it signs: after that receivers need not know it any more. Null for the newest, which signs until it is replaced.'

SecretRef.implement({
  description:
    'A signing secret of an endpoint, without its value: `endpointRevealSecret` tells that. Each that signs adds a signature to every request.',
  interfaces: [NodeRef],
  fields: (t) => ({
    id: t.id({ description: 'The id, `sec_…`.', resolve: ({ id }) => publicId('sec', id) }),
    endpoint: t.field({
      type: EndpointRef,
      nullable: true,
      description: 'The endpoint it signs for; null when that was deleted at this moment.',
      resolve: ({ endpointId }, _, { loaders }) => loaders.endpoint.load(endpointId),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Since when it signs.' }),
    signsUntil: t.expose('signsUntil', { type: 'DateTime', nullable: true, description: SIGNS_UNTIL }),
  }),
})

builder.objectField(EndpointRef, 'secrets', (t) =>
  t.field({
    type: [SecretRef],
    description:
      'Its signing secrets, newest first: one, and up to four more while they go on signing after a rotation.',
    resolve: ({ id }, _, { loaders }) => loaders.secretsOfEndpoint.load(id),
  }),
)

const RevealedSecretRef = builder.objectRef<RevealedSecret>('RevealedSecret').implement({
  description: 'A signing secret in the clear.',
  fields: (t) => ({
    id: t.id({ description: 'The id, `sec_…`.', resolve: ({ id }) => publicId('sec', id) }),
    secret: t.exposeString('value', { description: 'What receivers verify with: `whsec_…`.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Since when it signs.' }),
    signsUntil: t.expose('signsUntil', { type: 'DateTime', nullable: true, description: SIGNS_UNTIL }),
  }),
})

const EndpointRotateSecretPayload = payloadType<{ endpoint: Endpoint; secret: string }>(
  'endpointRotateSecret',
  (t) => ({
    endpoint: t.expose('endpoint', {
      type: EndpointRef,
      nullable: true,
      description: 'The endpoint as it is now; null when the call was refused.',
    }),
    secret: t.exposeString('secret', {
      nullable: true,
      description: 'The new signing secret, `whsec_…`, in the clear this once; null when the call was refused.',
    }),
  }),
)

const EndpointRevealSecretPayload = payloadType<{ endpoint: Endpoint; secrets: RevealedSecret[] }>(
  'endpointRevealSecret',
  (t) => ({
    endpoint: t.expose('endpoint', {
      type: EndpointRef,
      nullable: true,
      description: 'The endpoint; null when the call was refused.',
    }),
    secrets: t.expose('secrets', {
      type: [RevealedSecretRef],
      nullable: { list: true, items: false },
      description: 'All its secrets that sign, newest first; null when the call was refused.',
    }),
  }),
)

const ID = { required: true, description: 'The endpoint, `ep_…`.' } as const

builder.mutationFields((t) => ({
  endpointRotateSecret: t.field({
    type: EndpointRotateSecretPayload,
    description:
      'Gives an endpoint a new signing secret, which signs at once. The older ones go on signing for `overlapSeconds`, so that the receiver has time to change over; the header then carries a signature of each, the newest first. Up to 5 secrets may sign at a time. An endpoint with `signing.ed25519` changes to its next signing key at the same time and with the same overlap, and gets a new next one. A `BODY_HEX` signature stays the oldest secret’s for the overlap.',
    authScopes: { manage: true },
    args: {
      id: t.arg.id(ID),
      overlapSeconds: t.arg.int({
        defaultValue: DEFAULT_OVERLAP_SECONDS,
        description:
          'How long the older secrets go on signing: 0 to 604800 (7 days), where they do not end sooner already. 0: they are ended and erased at once, as after a leak.',
      }),
      secret: t.arg.string({
        description: 'A secret of your own: `whsec_` and the base64 of 24 to 64 random bytes. Absent: one is made.',
      }),
    },
    resolve: (_, { id, ...rotation }, { viewer, secrets }) =>
      payloadOf(['endpoint', 'secret'], () => secrets.rotate(viewer, id, rotation)),
  }),
  endpointRevealSecret: t.field({
    type: EndpointRevealSecretPayload,
    description: 'Tells the signing secrets of an endpoint in the clear. Who asked is noted in the audit log.',
    authScopes: { manage: true },
    args: { id: t.arg.id(ID) },
    resolve: (_, { id }, { viewer, secrets }) => payloadOf(['endpoint', 'secrets'], () => secrets.reveal(viewer, id)),
  }),
}))
