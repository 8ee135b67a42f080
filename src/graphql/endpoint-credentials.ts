import type { ShownAuthorization, ShownCertificate } from '../../schema/tables/endpoint-credentials.ts'
import { MASK } from '../endpoints/headers.ts'
import { HeaderRef } from './attempts.ts'
import { builder } from './builder.ts'
import { CredentialsKindEnum, OAuth2AuthenticationEnum } from './enums.ts'
import { EndpointRef } from './refs.ts'

/** What is sent to an endpoint to prove who we are, as callers give it and as it is shown: without its secrets. */

const CredentialsRef = builder.objectRef<ShownAuthorization>('EndpointCredentials').implement({
  description: 'What the header `authorization` of an endpoint’s requests is made of. Its secrets are shown to nobody.',
  fields: (t) => ({
    kind: t.expose('kind', { type: CredentialsKindEnum, description: 'Which kind they are.' }),
    username: t.string({
      nullable: true,
      description: 'BASIC: the user name; null for other kinds.',
      resolve: (shown) => (shown.kind === 'BASIC' ? shown.username : null),
    }),
    oauth2: t.field({
      type: OAuth2ClientRef,
      nullable: true,
      description: 'OAUTH2_CLIENT_CREDENTIALS: how its tokens are asked for; null for other kinds.',
      resolve: (shown) => (shown.kind === 'OAUTH2_CLIENT_CREDENTIALS' ? shown : null),
    }),
  }),
})

type ShownClient = Extract<ShownAuthorization, { kind: 'OAUTH2_CLIENT_CREDENTIALS' }>
const OAuth2ClientRef = builder.objectRef<ShownClient>('OAuth2Client')
OAuth2ClientRef.implement({
  description: 'A client of an OAuth 2.0 authorization server. Its secret is shown to nobody.',
  fields: (t) => ({
    tokenUrl: t.exposeString('tokenUrl', {
      description: 'Where tokens come from, like `https://login.example.com/oauth2/token`.',
    }),
    clientId: t.exposeString('clientId', { description: 'Who we are there.' }),
    scopes: t.exposeStringList('scopes', {
      description: 'What is asked for, like `["hooks:write"]`; empty: no scope.',
    }),
    audience: t.exposeString('audience', {
      nullable: true,
      description: 'The `audience` of the token; null when none is asked for.',
    }),
    authentication: t.expose('authentication', {
      type: OAuth2AuthenticationEnum,
      description: 'How id and secret are sent.',
    }),
  }),
})

const ClientCertificateRef = builder.objectRef<ShownCertificate>('ClientCertificate').implement({
  description: 'The certificate that an endpoint is shown in TLS handshakes. Its key is shown to nobody.',
  fields: (t) => ({
    subject: t.exposeString('subject', { description: 'Who it is for, like `CN=postrider, O=Acme`.' }),
    issuer: t.exposeString('issuer', { description: 'Who issued it, like `CN=Acme internal CA`.' }),
    serialNumber: t.exposeString('serialNumber', { description: 'Its serial number in hex, like `3F0A`.' }),
    validFrom: t.field({
      type: 'DateTime',
      description: 'It is valid from this moment …',
      resolve: ({ validFrom }) => new Date(validFrom),
    }),
    validTo: t.field({
      type: 'DateTime',
      description: '… to this one. Replace it before: servers refuse it afterwards.',
      resolve: ({ validTo }) => new Date(validTo),
    }),
    fingerprint: t.exposeString('fingerprint', { description: 'Its SHA-256 fingerprint, `AB:CD:…`.' }),
    authorities: t.exposeStringList('authorities', {
      description:
        'The subjects of the authorities in `caPem`, of which one must have issued the server’s certificate. Empty: the public ones count.',
    }),
  }),
})

builder.objectFields(EndpointRef, (t) => ({
  headers: t.field({
    type: [HeaderRef],
    description: `Its custom headers, each with the value \`${MASK}\`: the real ones are shown to nobody.`,
    resolve: async ({ id }, _, { loaders }) =>
      ((await loaders.endpointCredentials.load(id))?.headerNames ?? []).map((name) => [name, MASK]),
  }),
  credentials: t.field({
    type: CredentialsRef,
    nullable: true,
    description: 'What the header `authorization` is made of; null when there are none.',
    resolve: async ({ id }, _, { loaders }) => (await loaders.endpointCredentials.load(id))?.authorization,
  }),
  clientCertificate: t.field({
    type: ClientCertificateRef,
    nullable: true,
    description: 'The certificate that it is shown in TLS handshakes; null when there is none.',
    resolve: async ({ id }, _, { loaders }) => (await loaders.endpointCredentials.load(id))?.clientCertificate,
  }),
}))

const HeaderInput = builder.inputType('HeaderInput', {
  description: 'A header that is sent with every request to an endpoint, like `{ name: "X-Api-Key", value: "…" }`.',
  fields: (t) => ({
    name: t.string({
      required: true,
      description:
        'Its name, each only once. Reserved: host, content-type, content-encoding, content-length, transfer-encoding, connection, keep-alive, expect, upgrade, te, trailer, accept-encoding, user-agent, date, proxy-*, webhook-* and ce-*; and authorization beside `credentials`.',
    }),
    value: t.string({
      description: `Its value: visible ASCII and spaces between, up to 4096 characters with the name. Sealed, and shown to nobody. Absent, null or \`${MASK}\` in an update: the value that it has.`,
    }),
  }),
})

const BasicCredentialsInput = builder.inputType('BasicCredentialsInput', {
  description: 'HTTP Basic (RFC 7617), in UTF-8.',
  fields: (t) => ({
    username: t.string({ required: true, description: 'Up to 1024 characters, no colon. Shown.' }),
    password: t.string({ required: true, description: 'Up to 4096 characters. Sealed.' }),
  }),
})

const BearerCredentialsInput = builder.inputType('BearerCredentialsInput', {
  description: 'A token that is always the same, sent as `authorization: Bearer …`.',
  fields: (t) => ({
    token: t.string({
      required: true,
      description: 'Up to 4096 visible ASCII characters, without the word Bearer. Sealed.',
    }),
  }),
})

const OAuth2ClientCredentialsInput = builder.inputType('OAuth2ClientCredentialsInput', {
  description:
    'OAuth 2.0 client credentials (RFC 6749, section 4.4). A token is asked for with the first attempt, kept in memory until shortly before it expires, and renewed once when the endpoint answers 401: the same attempt is then sent a second time. An attempt that gets no token fails with the class OAUTH.',
  fields: (t) => ({
    tokenUrl: t.string({
      required: true,
      description: 'Where tokens come from; the same rules as for the URL of an endpoint.',
    }),
    clientId: t.string({ required: true, description: 'Up to 1024 printable ASCII characters. Shown.' }),
    clientSecret: t.string({ required: true, description: 'Up to 4096 printable ASCII characters. Sealed.' }),
    scopes: t.stringList({ description: 'What to ask for, up to 50, like `["hooks:write"]`. Absent: no `scope`.' }),
    audience: t.string({
      description: 'The parameter `audience`, which some servers want, up to 1024 characters. Absent: none.',
    }),
    authentication: t.field({
      type: OAuth2AuthenticationEnum,
      description: 'How id and secret are sent. Default: HEADER.',
    }),
  }),
})

const EndpointCredentialsInput = builder.inputType('EndpointCredentialsInput', {
  description: 'What the header `authorization` is to be made of: exactly one of its fields.',
  isOneOf: true,
  fields: (t) => ({
    basic: t.field({ type: BasicCredentialsInput, description: 'User name and password.' }),
    bearer: t.field({ type: BearerCredentialsInput, description: 'A token that is always the same.' }),
    oauth2ClientCredentials: t.field({
      type: OAuth2ClientCredentialsInput,
      description: 'Tokens from an OAuth 2.0 authorization server.',
    }),
  }),
})

const ClientCertificateInput = builder.inputType('ClientCertificateInput', {
  description:
    'A client certificate for mutual TLS, shown to this endpoint alone, over https. The server of the token URL is not shown it.',
  fields: (t) => ({
    certificatePem: t.string({
      required: true,
      description: 'The certificate in PEM, followed by those of its issuers that the server does not have.',
    }),
    privateKeyPem: t.string({
      required: true,
      description:
        'Its private key in PEM (PKCS #8, RSA or EC), not encrypted: RSA of 2048 to 4096 bits, EC on P-256, P-384 or P-521, or Ed25519. Sealed.',
    }),
    caPem: t.string({
      description:
        'The authorities, in PEM, that the server’s own certificate must come from, in place of the public ones. Absent: the public ones.',
    }),
  }),
})

const HEADERS: [typeof HeaderInput] = [HeaderInput]
const MOVES =
  'When the URL changes, other than from http to https, it must be given again: nothing sealed follows unasked.'

/** The fields of the inputs that create and change an endpoint. */
export const CREDENTIAL_FIELDS = {
  create: {
    headers: { type: HEADERS, description: 'Headers that every request carries, up to 32.' },
    credentials: { type: EndpointCredentialsInput, description: 'What the header `authorization` is to be made of.' },
    clientCertificate: {
      type: ClientCertificateInput,
      description: 'The certificate to show in TLS handshakes; also beside `credentials`.',
    },
  },
  update: {
    headers: {
      type: HEADERS,
      description: `Headers that every request carries: the whole list. A header without a value keeps the one it has. Null: none. ${MOVES}`,
    },
    credentials: {
      type: EndpointCredentialsInput,
      description: `What the header \`authorization\` is to be made of, all of it. Null: there is none. ${MOVES}`,
    },
    clientCertificate: {
      type: ClientCertificateInput,
      description: 'The certificate to show in TLS handshakes, all of it. Null: none.',
    },
  },
}
