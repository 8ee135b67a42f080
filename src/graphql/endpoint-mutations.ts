import type { Endpoint } from '../endpoints/find.ts'
import { builder } from './builder.ts'
import { deliveryPayload } from './deliveries.ts'
import { CREDENTIAL_FIELDS } from './endpoint-credentials.ts'
import { SIGNING_FIELDS } from './endpoint-signing.ts'
import { HttpMethodEnum, OnBlockedEnum, OrderingEnum } from './enums.ts'
import { payload, payloadOf } from './errors.ts'
import { payloadType, payloadWith } from './payloads.ts'
import { EndpointRef } from './refs.ts'

const ATTEMPTS =
  'How many attempts there are, with the first: 1 to 100. All waits together take at most 19 days, where POSTRIDER_BODY_RETENTION_DAYS is 30.'

const ExponentialRetryInput = builder.inputType('ExponentialRetryInput', {
  description:
    'Waits that grow: `{ initialSeconds: 30, factor: 2, maxSeconds: 3600, attempts: 8 }` waits 30 s, 1, 2, 4, 8, 16 and 32 min.',
  fields: (t) => ({
    initialSeconds: t.int({ required: true, description: 'Seconds after the first attempt: 1 to 604800 (7 days).' }),
    factor: t.float({
      description: 'How much longer each wait is than the one before: 1 to 10, like 1.5. Default: 2.',
    }),
    maxSeconds: t.int({
      description:
        'No wait is longer than this: `initialSeconds` to 604800 (7 days). Default: 86400 (a day), or `initialSeconds` if that is more.',
    }),
    attempts: t.int({ required: true, description: ATTEMPTS }),
  }),
})

const FixedRetryInput = builder.inputType('FixedRetryInput', {
  description: 'Always the same wait: `{ intervalSeconds: 60, attempts: 5 }` tries again every minute, four times.',
  fields: (t) => ({
    intervalSeconds: t.int({
      required: true,
      description: 'Seconds from the end of one attempt to the next: 1 to 604800.',
    }),
    attempts: t.int({ required: true, description: ATTEMPTS }),
  }),
})

const RetryPolicyInput = builder.inputType('RetryPolicyInput', {
  description: 'When failed attempts are to be repeated: exactly one of its fields. Each wait is varied by ±20 %.',
  isOneOf: true,
  fields: (t) => ({
    delaysSeconds: t.intList({
      description:
        'Seconds from the end of one attempt to the next: up to 20 of 1 to 604800 (7 days), 19 days together (where POSTRIDER_BODY_RETENTION_DAYS is 30). `[1, 2, 4, 8, 16]` makes six attempts, `[]` one.',
    }),
    exponential: t.field({ type: ExponentialRetryInput, description: 'Waits that grow.' }),
    fixed: t.field({ type: FixedRetryInput, description: 'Always the same wait.' }),
  }),
})

const EventTypePinInput = builder.inputType('EventTypePinInput', {
  description: 'The one version of an event type that an endpoint can read.',
  fields: (t) => ({
    eventType: t.string({ required: true, description: 'The event type, like `invoice.paid`, without wildcards.' }),
    version: t.string({ required: true, description: 'The version, like `2026-11-01`; up to 64 characters.' }),
  }),
})

const EVENT_TYPES =
  'The event types it wants, up to 100: names like `invoice.paid`, `invoice.*` (any depth below `invoice`, not `invoice` itself), or `*`.'
const OPERATIONAL = '`endpoint.*` and `delivery.*` only come where they are named, but for the tenant `operations`.'
const CHANNELS = 'The channels it listens to, up to 100, like `["eu"]`: an event must carry one of them.'
const FILTER =
  'What must hold of an event besides, in CEL over `type`, `version`, `channels`, `payload` and `tenant`, up to 4096 characters: `payload.amount > 100 && payload.currency in ["EUR", "CHF"]`. Where it cannot be evaluated, because a field is missing or of another kind, the event does not go there: `filterFault` tells. See docs/filters.md.'
const VERSIONS =
  'The one version of a type that it can read, up to 100 of them: of those types it gets events of that very version only, and none without a version.'
const RETRY_DEFAULT = 'nine retries, after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h'

const EndpointCreateInput = builder.inputType('EndpointCreateInput', {
  description: 'A new endpoint.',
  fields: (t) => ({
    tenant: t.string({ description: 'The key of its tenant. Absent: the API key’s own, or `default`.' }),
    url: t.string({
      required: true,
      description:
        'Where deliveries go: http or https, up to 2048 characters, without user name, password and fragment, to a public host. Ports that belong to other protocols (like 22, 25 or 5432) are refused.',
    }),
    description: t.string({ description: 'A note for people, up to 1024 characters.' }),
    eventTypes: t.stringList({ description: `${EVENT_TYPES} Absent: every type. ${OPERATIONAL}` }),
    format: t.field(SIGNING_FIELDS.format),
    signing: t.field(SIGNING_FIELDS.signing),
    channels: t.stringList({ description: `${CHANNELS} Absent: any.` }),
    filter: t.string({ description: `${FILTER} Absent: none.` }),
    versions: t.field({ type: [EventTypePinInput], description: `${VERSIONS} Absent: every version.` }),
    method: t.field({ type: HttpMethodEnum, description: 'The HTTP method. Default: POST.' }),
    secret: t.string({
      description:
        'A signing secret of your own: `whsec_` and the base64 of 24 to 64 random bytes. Absent: one is made.',
    }),
    headers: t.field(CREDENTIAL_FIELDS.create.headers),
    credentials: t.field(CREDENTIAL_FIELDS.create.credentials),
    clientCertificate: t.field(CREDENTIAL_FIELDS.create.clientCertificate),
    retry: t.field({
      type: RetryPolicyInput,
      description: `When failed attempts are repeated. Default: ${RETRY_DEFAULT}.`,
    }),
    timeoutSeconds: t.int({
      description: 'Seconds for one attempt, from connecting to the end of the response: 1 to 30, default 15.',
    }),
    maxInFlight: t.int({
      description: 'How many requests may be under way at once, over all processes: 1 to 1000, default 20.',
    }),
    ratePerSecond: t.float({
      description:
        'How many requests it is sent in a second at most, over all processes: 0.01 to 10000, like 5 or 0.5. Absent: no limit but `maxInFlight`.',
    }),
    ordering: t.field({
      type: OrderingEnum,
      description: 'Whether its deliveries go in the order of their events. Default: NONE.',
    }),
    onBlocked: t.field({
      type: OnBlockedEnum,
      description: 'With an order: what happens behind a delivery that failed. Default: WAIT.',
    }),
  }),
})

const EndpointUpdateInput = builder.inputType('EndpointUpdateInput', {
  description: 'What to change. Absent: unchanged. Null: back to the default.',
  fields: (t) => ({
    url: t.string({ description: 'Where deliveries go. It has no default: null is refused.' }),
    description: t.string({ description: 'A note for people, up to 1024 characters. Null: none.' }),
    eventTypes: t.stringList({ description: `${EVENT_TYPES} Null: every type. ${OPERATIONAL}` }),
    format: t.field(SIGNING_FIELDS.format),
    signing: t.field(SIGNING_FIELDS.signing),
    channels: t.stringList({ description: `${CHANNELS} Null: any.` }),
    filter: t.string({ description: `${FILTER} Null: none.` }),
    versions: t.field({ type: [EventTypePinInput], description: `${VERSIONS} Null: every version.` }),
    method: t.field({ type: HttpMethodEnum, description: 'The HTTP method. Null: POST.' }),
    headers: t.field(CREDENTIAL_FIELDS.update.headers),
    credentials: t.field(CREDENTIAL_FIELDS.update.credentials),
    clientCertificate: t.field(CREDENTIAL_FIELDS.update.clientCertificate),
    retry: t.field({
      type: RetryPolicyInput,
      description: `When failed attempts are repeated. Null: ${RETRY_DEFAULT}.`,
    }),
    timeoutSeconds: t.int({ description: 'Seconds for one attempt: 1 to 30. Null: 15.' }),
    maxInFlight: t.int({ description: 'How many requests may be under way at once: 1 to 1000. Null: 20.' }),
    ratePerSecond: t.float({
      description: 'How many requests it is sent in a second at most: 0.01 to 10000. Null: no limit.',
    }),
    ordering: t.field({
      type: OrderingEnum,
      description:
        'Whether its deliveries go in the order of their events. What waits in a lane goes on in its order. Null: NONE.',
    }),
    onBlocked: t.field({
      type: OnBlockedEnum,
      description: 'With an order: what happens behind a delivery that failed. Null: WAIT.',
    }),
  }),
})

const EndpointCreatePayload = payloadType<{ endpoint: Endpoint; secret: string }>('endpointCreate', (t) => ({
  endpoint: t.expose('endpoint', {
    type: EndpointRef,
    nullable: true,
    description: 'The new endpoint; null when it was refused.',
  }),
  secret: t.exposeString('secret', {
    nullable: true,
    description: 'Its signing secret, `whsec_…`, in the clear this once; null when it was refused.',
  }),
}))

const NOW = 'The endpoint as it is now'
const EndpointUpdatePayload = payloadWith('endpoint', EndpointRef, 'endpointUpdate', NOW)
const EndpointPausePayload = payloadWith('endpoint', EndpointRef, 'endpointPause', NOW)
const EndpointResumePayload = payloadWith('endpoint', EndpointRef, 'endpointResume', NOW)
const EndpointTestPayload = deliveryPayload('endpointTest')
const EndpointDeletePayload = payloadWith('endpoint', EndpointRef, 'endpointDelete', 'The endpoint as it was')

const ID = { required: true, description: 'The endpoint, `ep_…`.' } as const

builder.mutationFields((t) => ({
  endpointCreate: t.field({
    type: EndpointCreatePayload,
    description: 'Creates an endpoint. Events published from now on are delivered to it.',
    authScopes: { manage: true },
    args: { input: t.arg({ type: EndpointCreateInput, required: true, description: 'What it is to be.' }) },
    resolve: (_, { input }, { viewer, endpoints }) =>
      payloadOf(['endpoint', 'secret'], () => endpoints.create(viewer, input)),
  }),
  endpointUpdate: t.field({
    type: EndpointUpdatePayload,
    description: 'Changes an endpoint. What is under way goes on as it began; later attempts follow the change.',
    authScopes: { manage: true },
    args: {
      id: t.arg.id(ID),
      input: t.arg({ type: EndpointUpdateInput, required: true, description: 'What to change.' }),
    },
    resolve: (_, { id, input }, { viewer, endpoints }) =>
      payload('endpoint', () => endpoints.update(viewer, id, input)),
  }),
  endpointPause: t.field({
    type: EndpointPausePayload,
    description:
      'Stops sending to an endpoint. Deliveries go on being created, and wait until it is resumed. A disabled one stays disabled: nothing is sent to it anyway.',
    authScopes: { manage: true },
    args: { id: t.arg.id(ID) },
    resolve: (_, { id }, { viewer, endpoints }) => payload('endpoint', () => endpoints.pause(viewer, id)),
  }),
  endpointResume: t.field({
    type: EndpointResumePayload,
    description: 'Sends to an endpoint again that was paused or disabled; what waited goes out, oldest first.',
    authScopes: { manage: true },
    args: { id: t.arg.id(ID) },
    resolve: (_, { id }, { viewer, endpoints }) => payload('endpoint', () => endpoints.resume(viewer, id)),
  }),
  endpointTest: t.field({
    type: EndpointTestPayload,
    description:
      'Sends an example event to an endpoint, that of the version of its type that it is pinned to, else of the newest, where the catalogue has one: signed, recorded and streamed like any other, tried once. `Event.isTest` marks it for you; for the receiver the header `webhook-test: true`, and `test` in every format but `RAW`. It also goes to a paused or disabled endpoint, whatever event types that wants, and nothing about the endpoint changes by it. It goes at once unless as many requests are in flight as the endpoint is given at present: then it is the next, or refused with `ATTEMPT_IN_FLIGHT` where the endpoint is not active.',
    authScopes: { manage: true },
    args: {
      id: t.arg.id(ID),
      type: t.arg.string({
        description:
          'The event type of the example, like `invoice.paid`. Absent: the first that the endpoint names, else `postrider.test`.',
      }),
    },
    resolve: (_, { id, type }, { viewer, endpoints }) =>
      payloadOf(['deliveryId'], async () => ({ deliveryId: await endpoints.test(viewer, id, type) })),
  }),
  endpointDelete: t.field({
    type: EndpointDeletePayload,
    description:
      'Deletes an endpoint: its secrets and credentials are erased, its pending deliveries cancelled. History stays.',
    authScopes: { manage: true },
    args: { id: t.arg.id(ID) },
    resolve: (_, { id }, { viewer, endpoints }) => payload('endpoint', () => endpoints.delete(viewer, id)),
  }),
}))
