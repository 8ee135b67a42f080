import { type DeliveryId, publicId } from '../../schema/ids.ts'
import { triggerOf, waitingFor } from '../deliveries/find.ts'
import { readPage } from '../postgres/keyset.ts'
import { builder } from './builder.ts'
import { AttemptTriggerEnum, DeliveryStateEnum, DeliveryWaitEnum, FailedReasonEnum } from './enums.ts'
import { payloadOf } from './errors.ts'
import { WHOSE } from './lists.ts'
import { find } from './loaders.ts'
import { payloadType } from './payloads.ts'
import {
  AttemptConnection,
  AttemptRef,
  DeliveryConnection,
  DeliveryRef,
  EndpointRef,
  EventRef,
  NodeRef,
} from './refs.ts'

DeliveryRef.implement({
  description: 'One event to be delivered to one endpoint.',
  interfaces: [NodeRef],
  fields: (t) => ({
    id: t.id({ description: 'The id, `dlv_…`.', resolve: ({ id }) => publicId('dlv', id) }),
    event: t.field({
      type: EventRef,
      nullable: true,
      description: 'The event; null when it is no longer kept.',
      resolve: ({ eventId }, _, { loaders }) => loaders.event.load(eventId),
    }),
    eventId: t.id({ description: 'The event’s id, `evt_…`.', resolve: ({ eventId }) => publicId('evt', eventId) }),
    eventType: t.exposeString('eventType', { description: 'The event’s type, like `invoice.paid`.' }),
    endpoint: t.field({
      type: EndpointRef,
      nullable: true,
      description: 'The endpoint; null when it was deleted.',
      resolve: ({ endpointId }, _, { loaders }) => loaders.endpoint.load(endpointId),
    }),
    endpointId: t.id({
      description: 'The endpoint’s id, `ep_…`.',
      resolve: ({ endpointId }) => publicId('ep', endpointId),
    }),
  }),
})

// How far it is, and why no further.
builder.objectFields(DeliveryRef, (t) => ({
  state: t.expose('state', { type: DeliveryStateEnum, description: '`PENDING`, or how it ended.' }),
  failedReason: t.field({
    type: FailedReasonEnum,
    nullable: true,
    description: 'Why it is `FAILED`; null while it is not.',
    resolve: ({ state, failedReason }) => (state === 'FAILED' ? (failedReason ?? 'EXHAUSTED') : null),
  }),
  sequence: t.exposeInt('sequence', {
    nullable: true,
    description: 'Its number in its lane, also the `webhook-sequence` header; null where its endpoint has no order.',
  }),
  waitingFor: t.field({
    type: DeliveryWaitEnum,
    nullable: true,
    description:
      'Why it does not go at this moment; null while it goes, and once it is settled, unless a retry by hand or a replay waits.',
    resolve: async (delivery, _, { loaders }) => waitingFor(delivery, await loaders.endpoint.load(delivery.endpointId)),
  }),
  requestedTrigger: t.field({
    type: AttemptTriggerEnum,
    nullable: true,
    description:
      'What was asked for beside the schedule and is still to be done: `MANUAL`, `REPLAY` or `TEST`. Also in a delivery that is settled, while a retry by hand or a replay of it goes or waits. Null: nothing.',
    resolve: triggerOf,
  }),
}))

// What was tried, and what will be.
builder.objectFields(DeliveryRef, (t) => ({
  attemptsMade: t.exposeInt('attemptsMade', { description: 'How many attempts were made, by schedule and by hand.' }),
  nextAttemptAt: t.expose('nextAttemptAt', {
    type: 'DateTime',
    nullable: true,
    description:
      'When the schedule tries next, at the earliest: a paused or disabled endpoint is not tried before it is resumed. Null when it goes at once, or not at all.',
  }),
  plannedAttempts: t.field({
    type: ['DateTime'],
    description:
      'When it will be tried until an attempt succeeds: from `nextAttemptAt` (or now, when it goes at once), without the variation of ±20 %. Empty once it is settled, and while its endpoint is paused or disabled.',
    resolve: async (delivery, _, { loaders, deliveries }) =>
      deliveries.planned(delivery, await loaders.endpoint.load(delivery.endpointId)),
  }),
  createdAt: t.expose('createdAt', {
    type: 'DateTime',
    description:
      'When it was created: right after its event was accepted, or when a replay brought the event to an endpoint that had missed it.',
  }),
  settledAt: t.expose('settledAt', {
    type: 'DateTime',
    nullable: true,
    description: 'When it was delivered, failed or was cancelled; null while pending.',
  }),
  lastAttempt: t.field({
    type: AttemptRef,
    nullable: true,
    description: 'The latest attempt; null before the first, or when it is no longer kept.',
    resolve: ({ lastAttemptId }, _, { loaders }) =>
      lastAttemptId === null ? null : loaders.attempt.load(lastAttemptId),
  }),
  attempts: t.connection(
    {
      type: AttemptRef,
      description: 'Its attempts, newest first.',
      resolve: ({ id }, page, { loaders }) => loaders.attemptsOfDelivery.load({ parent: id, page: readPage(page) }),
    },
    AttemptConnection,
  ),
}))

/** The answer to a mutation about one delivery, which is read anew. */
export function deliveryPayload(mutation: string) {
  return payloadType<{ deliveryId: DeliveryId }>(mutation, (t) => ({
    delivery: t.field({
      type: DeliveryRef,
      nullable: true,
      description: 'The delivery as it is now; null when the call was refused.',
      resolve: ({ deliveryId }, _, { loaders }) => (deliveryId === null ? null : loaders.delivery.load(deliveryId)),
    }),
  }))
}

const DeliveryRetryPayload = deliveryPayload('deliveryRetry')
const DeliveryCancelPayload = deliveryPayload('deliveryCancel')

builder.mutationFields((t) => ({
  deliveryRetry: t.field({
    type: DeliveryRetryPayload,
    description:
      'Makes one attempt now, beside the schedule, whatever the state of the delivery. Success makes it DELIVERED; failure leaves state and schedule as they were. Until it is made, `requestedTrigger` is MANUAL. At a paused or disabled endpoint the attempt waits until that is resumed. In an ordered lane that went on without it, it arrives after later ones.',
    authScopes: { manage: true },
    args: { id: t.arg.id({ required: true, description: 'The delivery, `dlv_…`.' }) },
    resolve: (_, { id }, { viewer, deliveries }) =>
      payloadOf(['deliveryId'], async () => ({ deliveryId: await deliveries.retry(viewer, id) })),
  }),
  deliveryCancel: t.field({
    type: DeliveryCancelPayload,
    description:
      'Gives up a delivery that is pending, or that has failed and holds up an ordered lane: the schedule makes no further attempt, and the next one in its lane goes. Refused with `ATTEMPT_IN_FLIGHT` while an attempt is in flight, for as long as its timeout at most.',
    authScopes: { manage: true },
    args: { id: t.arg.id({ required: true, description: 'The delivery, `dlv_…`.' }) },
    resolve: (_, { id }, { viewer, deliveries }) =>
      payloadOf(['deliveryId'], async () => ({ deliveryId: await deliveries.cancel(viewer, id) })),
  }),
}))

const ACCEPTED =
  'Not when it was tried or settled: what was accepted before an outage and failed in it lies before. Choose an earlier moment, and `states` or `endpointIds`.'

export const DeliveryFilter = builder.inputType('DeliveryFilter', {
  description: 'Which deliveries: AND between the fields, OR inside each. Up to 100 values in a field.',
  fields: (t) => ({
    endpointIds: t.idList({ description: 'To one of these endpoints, `ep_…`.' }),
    eventIds: t.idList({ description: 'Of one of these events, `evt_…`.' }),
    eventTypes: t.stringList({ description: 'Of events of one of these types: names, `invoice.*` or `*`.' }),
    states: t.field({ type: [DeliveryStateEnum], description: 'In one of these states, like `[FAILED]`.' }),
    since: t.field({ type: 'DateTime', description: `Of events accepted at this moment or later. ${ACCEPTED}` }),
    until: t.field({ type: 'DateTime', description: 'Of events accepted before this moment.' }),
  }),
})

builder.queryFields((t) => ({
  delivery: t.field({
    type: DeliveryRef,
    nullable: true,
    description:
      'A delivery; null when there is none with this id, or it is no longer kept, or belongs to another tenant.',
    authScopes: { read: true },
    args: { id: t.arg.id({ required: true, description: 'The delivery, `dlv_…`.' }) },
    resolve: (_, { id }, { loaders }) => find(loaders.delivery, 'dlv', id),
  }),
  deliveries: t.connection(
    {
      type: DeliveryRef,
      description: 'The deliveries of a tenant, newest first.',
      authScopes: { read: true },
      args: {
        tenant: t.arg.string({
          description: WHOSE,
        }),
        filter: t.arg({ type: DeliveryFilter, description: 'Which of them.' }),
      },
      resolve: (_, { tenant, filter, ...page }, { viewer, deliveries }) =>
        deliveries.list(viewer, tenant, filter, page),
    },
    DeliveryConnection,
  ),
}))
