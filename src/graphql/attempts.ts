import { publicId, timeOf } from '../../schema/ids.ts'
import type { Attempt } from '../attempts/find.ts'
import { responseBody, responseText } from '../attempts/response-body.ts'
import { builder } from './builder.ts'
import { AttemptErrorClassEnum, AttemptTriggerEnum, HttpMethodEnum, PayloadFormatEnum } from './enums.ts'
import { WHOSE } from './lists.ts'
import { AttemptConnection, AttemptRef, DeliveryRef, NodeRef } from './refs.ts'

export const HeaderRef = builder.objectRef<[name: string, value: string]>('Header').implement({
  description: 'An HTTP header.',
  fields: (t) => ({
    name: t.string({ description: 'Its name, like `content-type`.', resolve: ([name]) => name }),
    value: t.string({ description: 'Its value, like `application/json`.', resolve: ([, value]) => value }),
  }),
})

const readHeaders = (json: string | null) => JSON.parse(json ?? '[]') as [string, string][]

const AttemptRequestRef = builder.objectRef<Attempt>('AttemptRequest').implement({
  description: 'What was sent. Credentials are masked.',
  fields: (t) => ({
    method: t.expose('method', { type: HttpMethodEnum, description: 'The HTTP method.' }),
    url: t.exposeString('url', { description: 'The URL at that time.' }),
    headers: t.field({
      type: [HeaderRef],
      description:
        'The headers as sent, in order. The values of custom headers and the secret in `authorization` are `********`.',
      resolve: ({ requestHeaders }) => readHeaders(requestHeaders),
    }),
    body: t.string({
      nullable: true,
      description: 'The body as sent and signed, byte for byte; null when the event’s payload is no longer kept.',
      resolve: ({ eventId, format }, _, { loaders }) => loaders.sentBody.load({ eventId, format }),
    }),
    format: t.expose('format', { type: PayloadFormatEnum, description: 'How the body was made of the event.' }),
    bodyBytes: t.exposeInt('requestBytes', { description: 'The size of the body in bytes.' }),
  }),
})

const AttemptResponseRef = builder.objectRef<Attempt>('AttemptResponse').implement({
  description: 'What came back. Where it repeats a custom header or a credential of ours, there are stars.',
  fields: (t) => ({
    status: t.int({ description: 'The HTTP status, like 200.', resolve: ({ status }) => status as number }),
    headers: t.field({
      type: [HeaderRef],
      description: 'The headers as received; none when the event was expunged.',
      resolve: ({ responseHeaders }) => readHeaders(responseHeaders),
    }),
    body: t.string({
      nullable: true,
      description: 'The body as text; null when it is not UTF-8, or no longer kept.',
      resolve: async (attempt, _, { loaders }) =>
        responseText(attempt, (await loaders.responseBody.load(attempt.id))?.body ?? null),
    }),
    bodyBase64: t.string({
      nullable: true,
      description: 'The body in base64, whatever it is; null when it is no longer kept.',
      resolve: async (attempt, _, { loaders }) =>
        responseBody(attempt, (await loaders.responseBody.load(attempt.id))?.body ?? null)?.toString('base64'),
    }),
    bodyBytes: t.exposeInt('responseBytes', {
      nullable: true,
      description:
        'How many bytes of the body came in, also where only its beginning was kept. All of it, unless it broke off, never ended or was longer than 1 MiB: no more is waited for.',
    }),
    truncated: t.exposeBoolean('responseTruncated', {
      description:
        'Whether `body` is not the whole of it: only the first 16 KiB are kept, and what does not come in time is not waited for.',
    }),
  }),
})

const AttemptTimingsRef = builder.objectRef<Attempt>('AttemptTimings').implement({
  description:
    'How long the phases of an attempt took, in milliseconds. Null: the phase was not reached, or not needed.',
  fields: (t) => ({
    dnsMs: t.exposeFloat('dnsMs', { nullable: true, description: 'Resolving the host name.' }),
    connectMs: t.exposeFloat('connectMs', { nullable: true, description: 'Opening the connection.' }),
    tlsMs: t.exposeFloat('tlsMs', { nullable: true, description: 'The TLS handshake.' }),
    firstByteMs: t.exposeFloat('firstByteMs', {
      nullable: true,
      description: 'From sending the request to the first byte of the response.',
    }),
    totalMs: t.exposeInt('durationMs', { description: 'The whole attempt, as in `durationMs`.' }),
    reusedConnection: t.exposeBoolean('reusedSocket', {
      description: 'Whether a connection from before was used: then there is nothing to resolve and open.',
    }),
  }),
})

AttemptRef.implement({
  description: 'One HTTP request for one delivery, and everything that came of it.',
  interfaces: [NodeRef],
  fields: (t) => ({
    id: t.id({ description: 'The id, `att_…`.', resolve: ({ id }) => publicId('att', id) }),
    delivery: t.field({
      type: DeliveryRef,
      nullable: true,
      description: 'The delivery as it is now; null when it is no longer kept.',
      resolve: ({ deliveryId }, _, { loaders }) => loaders.delivery.load(deliveryId),
    }),
    deliveryId: t.id({
      description: 'The delivery’s id, `dlv_…`.',
      resolve: ({ deliveryId }) => publicId('dlv', deliveryId),
    }),
    eventId: t.id({ description: 'The event’s id, `evt_…`.', resolve: ({ eventId }) => publicId('evt', eventId) }),
    endpointId: t.id({
      description: 'The endpoint’s id, `ep_…`.',
      resolve: ({ endpointId }) => publicId('ep', endpointId),
    }),
    eventType: t.exposeString('eventType', { description: 'The event’s type, like `invoice.paid`.' }),
    number: t.exposeInt('number', {
      description:
        'Which attempt of its delivery it is: 1, 2, 3 …; also the `webhook-attempt` header. One that was cut off when its process was killed is on no record: the receiver then sees the next one with the same number.',
    }),
    trigger: t.expose('trigger', { type: AttemptTriggerEnum, description: 'What caused it.' }),
    startedAt: t.field({ type: 'DateTime', description: 'When it began.', resolve: ({ id }) => new Date(timeOf(id)) }),
    durationMs: t.exposeInt('durationMs', { description: 'How long it took, in milliseconds.' }),
    succeeded: t.exposeBoolean('succeeded', { description: 'Whether it was answered with 200–299.' }),
    errorClass: t.expose('errorClass', {
      type: AttemptErrorClassEnum,
      nullable: true,
      description: 'What went wrong; null when nothing did.',
    }),
    errorMessage: t.exposeString('errorMessage', {
      nullable: true,
      description:
        'The same for people, with advice; null when nothing went wrong, or it quoted where a redirect points to and the event was expunged.',
    }),
    request: t.field({
      type: AttemptRequestRef,
      nullable: true,
      description: 'What was sent, or would have been had there been a connection.',
      resolve: (attempt) => attempt,
    }),
    response: t.field({
      type: AttemptResponseRef,
      nullable: true,
      description: 'What came back; null when nothing did.',
      resolve: (attempt) => (attempt.status === null ? null : attempt),
    }),
    timings: t.field({
      type: AttemptTimingsRef,
      description: 'How long its phases took.',
      resolve: (attempt) => attempt,
    }),
    remoteAddress: t.exposeString('remoteAddress', {
      nullable: true,
      description: 'The IP address it went to; null when there was no connection.',
    }),
  }),
})

export const AttemptFilter = builder.inputType('AttemptFilter', {
  description:
    'Which attempts, in lists and in the live feed: AND between the fields, OR inside each. Up to 100 values in a field.',
  fields: (t) => ({
    endpointIds: t.idList({ description: 'To one of these endpoints, `ep_…`.' }),
    eventIds: t.idList({ description: 'Of one of these events, `evt_…`.' }),
    deliveryIds: t.idList({ description: 'Of one of these deliveries, `dlv_…`.' }),
    eventTypes: t.stringList({ description: 'Of events of one of these types: names, `invoice.*` or `*`.' }),
    succeeded: t.boolean({ description: 'Only successful ones, or only failures.' }),
    errorClasses: t.field({
      type: [AttemptErrorClassEnum],
      description: 'With one of these errors, like `[TIMEOUT, RESET]`.',
    }),
    statusCodes: t.intList({ description: 'Answered with one of these statuses, each 100 to 999, like `[500, 503]`.' }),
    since: t.field({ type: 'DateTime', description: 'Started at this moment or later.' }),
    until: t.field({ type: 'DateTime', description: 'Begun before this moment.' }),
  }),
})

builder.queryField('attempts', (t) =>
  t.connection(
    {
      type: AttemptRef,
      description: 'The attempts of a tenant, newest first.',
      authScopes: { read: true },
      args: {
        tenant: t.arg.string({
          description: WHOSE,
        }),
        filter: t.arg({ type: AttemptFilter, description: 'Which of them.' }),
      },
      resolve: (_, { tenant, filter, ...page }, { viewer, attempts }) => attempts.list(viewer, tenant, filter, page),
    },
    AttemptConnection,
  ),
)
