import { type EventId, publicId, timeOf } from '../../schema/ids.ts'
import type { PublishWarning } from '../event-types/verdict.ts'
import type { Event } from '../events/find.ts'
import type { Published } from '../events/publish.ts'
import { Mistake, mistakesIn } from '../mistake.ts'
import { readPage } from '../postgres/keyset.ts'
import { builder } from './builder.ts'
import { type Answer, payloadOf, userError } from './errors.ts'
import { WHOSE } from './lists.ts'
import { find } from './loaders.ts'
import { payloadType } from './payloads.ts'
import { DeliveryConnection, DeliveryRef, EventConnection, EventRef, NodeRef, TenantRef } from './refs.ts'
import { PublishWarningRef, SchemaFaultRef } from './schema-faults.ts'
import { selectsOnly } from './selection.ts'
import { tenantOf } from './tenants.ts'

EventRef.implement({
  description: 'Something that happened: type, payload, when. It never changes.',
  interfaces: [NodeRef],
  fields: (t) => ({
    id: t.id({
      description: 'The id, `evt_…`: also the `webhook-id` header of every request that carries it.',
      resolve: ({ id }) => publicId('evt', id),
    }),
    tenant: t.field({
      type: TenantRef,
      description: 'The tenant it belongs to.',
      resolve: (event, _, { loaders }) => tenantOf(event, loaders),
    }),
    type: t.exposeString('type', { description: 'The event type, like `invoice.paid`.' }),
    version: t.exposeString('version', {
      nullable: true,
      description: 'The version of the type; null when none was given.',
    }),
    payload: t.field({
      type: 'JSON',
      nullable: true,
      description:
        'The payload, parsed: numbers beyond a double lose digits here, not in `payloadJson`. Null when it is no longer kept, or was expunged: then `expungedAt` says when.',
      resolve: async ({ id }, _, { loaders }) => JSON.parse((await loaders.payload.load(id))?.payload ?? 'null'),
    }),
    payloadJson: t.string({
      nullable: true,
      description:
        'The payload as the exact JSON text that is delivered; null when it is no longer kept, or was expunged.',
      resolve: async ({ id }, _, { loaders }) => (await loaders.payload.load(id))?.payload,
    }),
    orderingKey: t.exposeString('orderingKey', {
      nullable: true,
      description: 'What it is about, for endpoints with `ordering: PER_KEY`; null when none was given.',
    }),
    isTest: t.exposeBoolean('isTest', {
      description:
        'Whether it is an example that `endpointTest` made: nothing happened, and it went to one endpoint only.',
    }),
    occurredAt: t.expose('occurredAt', {
      type: 'DateTime',
      description: 'When it happened, as its producer says; else when it was accepted.',
    }),
    acceptedAt: t.field({
      type: 'DateTime',
      description: 'When Postrider accepted it.',
      resolve: ({ id }) => new Date(timeOf(id)),
    }),
  }),
})

// What became of it.
builder.objectFields(EventRef, (t) => ({
  routedAt: t.expose('routedAt', {
    type: 'DateTime',
    nullable: true,
    description: 'When its deliveries were created; null while that is still to come.',
  }),
  parkedAt: t.expose('parkedAt', {
    type: 'DateTime',
    nullable: true,
    description:
      'Since when it cannot be routed by a fault of ours, which is in the log; it is tried again and again, at least once an hour. Null when all is well.',
  }),
  schemaFaults: t.field({
    type: [SchemaFaultRef],
    description:
      'Where its payload does not satisfy the schema of its type, which has `validation: WARN`: at most ten; none when it does, or was not asked.',
    resolve: ({ schemaFaults }) => schemaFaults ?? [],
  }),
  expungedAt: t.expose('expungedAt', {
    type: 'DateTime',
    nullable: true,
    description: 'When `eventExpunge` removed its payload; null when it did not.',
  }),
  deliveries: t.connection(
    {
      type: DeliveryRef,
      description: 'Its deliveries, one for each endpoint that wanted it; none when nobody did.',
      // A key that may only publish sees the events it published, and nothing of what became of them.
      authScopes: { read: true },
      resolve: ({ id }, page, { loaders }) => loaders.deliveriesOfEvent.load({ parent: id, page: readPage(page) }),
    },
    DeliveryConnection,
  ),
}))

export const EventPublishInput = builder.inputType('EventPublishInput', {
  description: 'An event to publish.',
  fields: (t) => ({
    tenant: t.string({ description: 'The key of the tenant it belongs to. Absent: the API key’s own, or `default`.' }),
    type: t.string({
      required: true,
      description:
        'The event type: words of letters, digits and `_` joined by dots, like `invoice.paid`; up to 128 characters.',
    }),
    payload: t.field({
      type: 'JSON',
      description: 'What happened, as JSON. Exactly one of `payload` and `payloadJson`.',
    }),
    payloadJson: t.string({ description: 'The same as JSON text; its very bytes are delivered.' }),
    version: t.string({ description: 'The version of the type, like `2026-11-01`; up to 64 characters.' }),
    channels: t.stringList({
      description:
        'What it carries besides its type, up to 16 of up to 128 letters, digits, `_`, `.`, `:` or `-`, like `["eu", "vip"]`: endpoints with `channels` get those that carry one of theirs.',
    }),
    orderingKey: t.string({
      description:
        'What it is about, up to 256 characters, like `customer_42`: endpoints with `ordering: PER_KEY` get events of one key in their order.',
    }),
    idempotencyKey: t.string({
      description:
        'A key for this very event, up to 256 characters: publishing it again within POSTRIDER_IDEMPOTENCY_HOURS answers the first event with `duplicate: true`. Compared over every other field.',
    }),
    occurredAt: t.field({
      type: 'DateTime',
      description: 'When it happened. Absent: when it is accepted, which is now.',
    }),
  }),
})

/** What an event's id tells by itself. */
const FROM_ID = ['__typename', 'id', 'acceptedAt']

const EventPublishPayload = payloadType<Published>(
  'eventPublish',
  (t) => ({
    event: t.field({
      type: EventRef,
      nullable: true,
      description: 'The event; null when it was refused.',
      resolve: ({ eventId }, _, { loaders }, info) => {
        if (eventId === null) return null
        // Most producers keep the id and nothing else: they are spared the reading of what they have just written.
        return selectsOnly(info, FROM_ID) ? ({ id: eventId } as Event) : loaders.event.load(eventId)
      },
    }),
    duplicate: t.exposeBoolean('duplicate', {
      nullable: true,
      description:
        'Whether its idempotency key was used before: then `event` is the first one, and nothing was published. Null when refused.',
    }),
    warnings: t.field({
      type: [PublishWarningRef],
      description:
        'What the catalogue has to say about it, at most five; none when all is well, it was refused, or is a duplicate.',
      resolve: ({ warnings }) => (warnings ?? []) as PublishWarning[],
    }),
  }),
  { what: 'The answer to `eventPublish`, and to each event of `eventPublishBatch`.' },
)

const EventPublishBatchPayload = payloadType<{ results: (Published | Mistake)[] }>(
  'eventPublishBatch',
  (t) => ({
    results: t.field({
      type: [EventPublishPayload],
      description: 'One for each event, in the same order; none when the batch as a whole was refused.',
      resolve: ({ results }) => (results ?? []).map(answerOf),
    }),
  }),
  { userErrors: 'What was wrong with the batch as a whole.' },
)

const EventExpungePayload = payloadType<{ eventId: EventId }>('eventExpunge', (t) => ({
  event: t.field({
    type: EventRef,
    nullable: true,
    description: 'What is left of the event; null when the call was refused.',
    resolve: ({ eventId }, _, { loaders }) => (eventId === null ? null : loaders.event.load(eventId)),
  }),
}))

function answerOf(result: Published | Mistake): Answer<Published> {
  return result instanceof Mistake
    ? { eventId: null, duplicate: null, warnings: null, userErrors: mistakesIn(result).map(userError) }
    : { ...result, userErrors: [] }
}

builder.mutationFields((t) => ({
  eventPublish: t.field({
    type: EventPublishPayload,
    description:
      'Publishes an event. Once it is answered, the event survives any crash and is delivered to every endpoint that wants it.',
    authScopes: { publish: true },
    args: { input: t.arg({ type: EventPublishInput, required: true, description: 'The event.' }) },
    resolve: (_, { input }, { viewer, events }) =>
      payloadOf(['eventId', 'duplicate', 'warnings'], () => events.publish(viewer, input)),
  }),
  eventPublishBatch: t.field({
    type: EventPublishBatchPayload,
    description: 'Publishes up to 500 events at once; each succeeds or fails for itself.',
    authScopes: { publish: true },
    args: { events: t.arg({ type: [EventPublishInput], required: true, description: 'The events, 1 to 500.' }) },
    resolve: (_, args, { viewer, events }) =>
      payloadOf(['results'], async () => ({ results: await events.publishBatch(viewer, args.events) })),
  }),
  eventExpunge: t.field({
    type: EventExpungePayload,
    description:
      'Removes the payload of an event for good, and the response bodies and headers of its attempts, which may echo it. What is pending is cancelled; a request that is in flight is not called back. The event itself, its deliveries and attempts stay, without what was in it. Its idempotency key still stands for it. Expunging it once more changes nothing.',
    authScopes: { manage: true },
    args: { id: t.arg.id({ required: true, description: 'The event, `evt_…`.' }) },
    resolve: (_, { id }, { viewer, events }) =>
      payloadOf(['eventId'], async () => ({ eventId: await events.expunge(viewer, id) })),
  }),
}))

const EventFilter = builder.inputType('EventFilter', {
  description: 'Which events to list: AND between the fields, OR inside each.',
  fields: (t) => ({
    types: t.stringList({ description: 'Of one of these types: names, `invoice.*` or `*`.' }),
    matched: t.boolean({
      description:
        'Whether any endpoint wanted them: `false` finds those that went nowhere. What is not routed yet is in neither.',
    }),
    since: t.field({ type: 'DateTime', description: 'Accepted at this moment or later.' }),
    until: t.field({ type: 'DateTime', description: 'Accepted before this moment.' }),
  }),
})

builder.queryFields((t) => ({
  event: t.field({
    type: EventRef,
    nullable: true,
    description:
      'An event; null when there is none with this id, or it is no longer kept, or belongs to another tenant.',
    authScopes: { read: true },
    args: { id: t.arg.id({ required: true, description: 'The event, `evt_…`.' }) },
    resolve: (_, { id }, { loaders }) => find(loaders.event, 'evt', id),
  }),
  events: t.connection(
    {
      type: EventRef,
      description: 'The events of a tenant, newest first; also those that no endpoint wanted.',
      authScopes: { read: true },
      args: {
        tenant: t.arg.string({
          description: WHOSE,
        }),
        filter: t.arg({ type: EventFilter, description: 'Which of them.' }),
      },
      resolve: (_, { tenant, filter, ...page }, { viewer, events }) => events.list(viewer, tenant, filter, page),
    },
    EventConnection,
  ),
}))
