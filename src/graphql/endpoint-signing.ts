import { publicId } from '../../schema/ids.ts'
import type { StoredSignature } from '../../schema/tables/endpoints.ts'
import type { Endpoint } from '../endpoints/find.ts'
import { publicKeyText } from '../endpoints/key-pair.ts'
import { stateOf } from '../endpoints/signing-keys.ts'
import { builder } from './builder.ts'
import { PayloadFormatEnum, SignatureSchemeEnum, SigningKeyStateEnum } from './enums.ts'
import { EndpointRef, NodeRef, SigningKeyRef } from './refs.ts'

/** What an endpoint's requests look like: the format of their bodies, and how they are signed. */

const EndpointSignatureRef = builder.objectRef<StoredSignature>('EndpointSignature').implement({
  description: 'A signature in a header of its own.',
  fields: (t) => ({
    scheme: t.expose('scheme', { type: SignatureSchemeEnum, description: 'How it is made.' }),
    header: t.exposeString('header', { description: 'The header, like `X-Webhook-Signature`.' }),
  }),
})

const EndpointSigningRef = builder.objectRef<Endpoint>('EndpointSigning').implement({
  description: 'How the requests of an endpoint are signed.',
  fields: (t) => ({
    standard: t.exposeBoolean('signsStandard', {
      description: 'Whether `webhook-signature` has Standard Webhooks `v1` signatures: one of each secret.',
    }),
    ed25519: t.exposeBoolean('signsEd25519', {
      description: 'Whether it has `v1a` signatures (Ed25519): one of each of `signingKeys` that signs.',
    }),
    also: t.field({
      type: [EndpointSignatureRef],
      description: 'Signatures of other schemes, with the same secrets.',
      resolve: ({ alsoSigns }) => alsoSigns ?? [],
    }),
  }),
})

SigningKeyRef.implement({
  description:
    'An Ed25519 key pair of an endpoint, without its private half, which nobody is shown. `/.well-known/webhook-keys/<tenant>` publishes it.',
  interfaces: [NodeRef],
  fields: (t) => ({
    id: t.id({
      description: 'The id, `sik_…`; in the published set its `kid`.',
      resolve: ({ id }) => publicId('sik', id),
    }),
    endpoint: t.field({
      type: EndpointRef,
      nullable: true,
      description: 'The endpoint it signs for; null when that was deleted at this moment.',
      resolve: ({ endpointId }, _, { loaders }) => loaders.endpoint.load(endpointId),
    }),
    publicKey: t.string({
      description: 'The public half, as Standard Webhooks writes it: `whpk_` and the base64 of 32 bytes.',
      resolve: ({ publicKey }) => publicKeyText(publicKey),
    }),
    state: t.field({ type: SigningKeyStateEnum, description: 'Whether it signs.', resolve: stateOf }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Since when it is published.' }),
    signsFrom: t.expose('signsFrom', {
      type: 'DateTime',
      nullable: true,
      description: 'Since when it signs; null while it is the next one.',
    }),
    signsUntil: t.expose('signsUntil', {
      type: 'DateTime',
      nullable: true,
      description: 'Until when it signs; null until it is replaced.',
    }),
  }),
})

builder.objectFields(EndpointRef, (t) => ({
  format: t.expose('format', { type: PayloadFormatEnum, description: 'How the bodies of its requests are made.' }),
  signing: t.field({
    type: EndpointSigningRef,
    description: 'How its requests are signed.',
    resolve: (endpoint) => endpoint,
  }),
  signingKeys: t.field({
    type: [SigningKeyRef],
    description:
      'Its Ed25519 key pairs: the next one, the one that signs, and up to four more while they go on signing after a rotation. None where `signing.ed25519` is false.',
    resolve: ({ id }, _, { loaders }) => loaders.signingKeysOfEndpoint.load(id),
  }),
}))

const EndpointSignatureInput = builder.inputType('EndpointSignatureInput', {
  description: 'A signature in a header of its own, for receivers that verify such a one already.',
  fields: (t) => ({
    scheme: t.field({ type: SignatureSchemeEnum, required: true, description: 'How it is made.' }),
    header: t.string({
      description:
        'The header, up to 256 letters, digits and hyphens, like `X-Hub-Signature-256`; not one that is reserved, or that the endpoint has for something else. Default: X-Webhook-Signature.',
    }),
  }),
})

const EndpointSigningInput = builder.inputType('EndpointSigningInput', {
  description:
    'How requests are signed: in at least one way. In an update absent is unchanged, and null back to the default.',
  fields: (t) => ({
    standard: t.boolean({
      description:
        'Standard Webhooks `v1` signatures in `webhook-signature`. Default: true. Where this and `ed25519` are false, that header and `webhook-timestamp` are left out.',
    }),
    ed25519: t.boolean({
      description:
        'Standard Webhooks `v1a` signatures (Ed25519), for receivers that shall verify without knowing a secret. True makes key pairs, false erases them: true again makes others. Default: false.',
    }),
    also: t.field({
      type: [EndpointSignatureInput],
      description: 'Up to 4 signatures of other schemes, like `[{ scheme: BODY_HEX }]`. Default: none.',
    }),
  }),
})

/** The fields of the inputs of endpointCreate and endpointUpdate. */
export const SIGNING_FIELDS = {
  format: { type: PayloadFormatEnum, description: 'How the bodies of requests are made. Default: ENVELOPE.' },
  signing: {
    type: EndpointSigningInput,
    description: 'How requests are signed. Default: Standard Webhooks `v1`, and nothing else.',
  },
} as const
