import type { EventId } from '../../schema/ids.ts'
import type { FilterFault } from '../endpoints/filter-faults.ts'
import type { Endpoint } from '../endpoints/find.ts'
import { matchedOf } from '../events/find.ts'
import type { Explained, FilterPart } from '../routing/explain.ts'
import { builder } from './builder.ts'
import { RoutingRefusalEnum } from './enums.ts'
import { payloadOf } from './errors.ts'
import { EventPublishInput } from './events.ts'
import { payloadType } from './payloads.ts'
import { DeliveryRef, EndpointRef, EventRef } from './refs.ts'

/** Who gets an event, and why not. */

const PinRef = builder.objectRef<{ eventType: string; version: string }>('EventTypePin').implement({
  description: 'The one version of an event type that an endpoint can read.',
  fields: (t) => ({
    eventType: t.exposeString('eventType', { description: 'The event type, like `invoice.paid`.' }),
    version: t.exposeString('version', { description: 'The version, like `2026-11-01`.' }),
  }),
})

const FilterFaultRef = builder.objectRef<FilterFault>('FilterFault').implement({
  description:
    'That the filter of an endpoint could not be evaluated for some events, which did not go there: a field was missing, or not what the filter takes it for.',
  fields: (t) => ({
    count: t.exposeInt('count', { description: 'For how many events, since the filter was saved.' }),
    message: t.exposeString('message', {
      description: 'What was wrong for the last of them: `Line 1, column 8: there is no field "amount".`',
    }),
    at: t.expose('at', { type: 'DateTime', description: 'When that one was routed.' }),
    event: t.field({
      type: EventRef,
      nullable: true,
      description: 'The last of them; null when it is no longer kept.',
      resolve: ({ eventId }, _, { loaders }) => loaders.event.load(eventId),
    }),
  }),
})

builder.objectFields(EndpointRef, (t) => ({
  channels: t.exposeStringList('channels', {
    nullable: true,
    description: 'The channels it listens to, like `["eu"]`: an event must carry one of them. Null: it need not.',
  }),
  filter: t.exposeString('filter', {
    nullable: true,
    description: 'What must hold of an event, like `payload.amount > 100`; null: nothing.',
  }),
  versions: t.field({
    type: [PinRef],
    nullable: true,
    description: 'The versions of some types that it can read, and gets; null: every version of every type.',
    resolve: ({ versions }) => pinsOf(versions),
  }),
  filterFault: t.field({
    type: FilterFaultRef,
    nullable: true,
    description: 'Whether its filter could not be evaluated for some events; null when it always could.',
    resolve: ({ id, filter }, _, { loaders }) => (filter === null ? null : loaders.filterFault.load(id)),
  }),
}))

const pinsOf = (versions: Endpoint['versions']) =>
  versions && Object.entries(versions).map(([eventType, version]) => ({ eventType, version }))

const FilterPartRef = builder.objectRef<FilterPart>('FilterPart').implement({
  description: 'The part of a filter that said no: of conditions joined by `&&` the first that does not hold.',
  fields: (t) => ({
    text: t.exposeString('text', { description: 'As it stands in the filter: `payload.amount > 100`.' }),
    line: t.exposeInt('line', { description: 'The line in which it begins, from 1.' }),
    column: t.exposeInt('column', { description: 'The character of that line at which it begins, from 1.' }),
  }),
})

const RoutingDecisionRef = builder.objectRef<Explained>('RoutingDecision').implement({
  description:
    'Whether an endpoint gets an event, and if not, why. What is not active gets it as well: it waits there.',
  fields: (t) => ({
    endpoint: t.expose('endpoint', { type: EndpointRef, description: 'The endpoint.' }),
    matches: t.boolean({
      description: 'Whether the endpoint, as it is now, wants the event.',
      resolve: ({ refusal }) => refusal === null,
    }),
    refusal: t.expose('refusal', {
      type: RoutingRefusalEnum,
      nullable: true,
      description: 'Why not: the first reason that there is. Null when it does.',
    }),
    fault: t.exposeString('fault', {
      nullable: true,
      description: 'With FILTER_FAULT: what is wrong, like `Line 1, column 8: there is no field "amount".`',
    }),
    filterPart: t.expose('filterPart', {
      type: FilterPartRef,
      nullable: true,
      description: 'With FILTER and FILTER_FAULT: the part of the filter that said no. Null for other reasons.',
    }),
    delivery: t.field({
      type: DeliveryRef,
      nullable: true,
      description:
        'The delivery that a published event has there, whatever the endpoint wants now. Null when it has none, and of a draft.',
      resolve: ({ delivery }, _, { loaders }) => (delivery === null ? null : loaders.delivery.load(delivery)),
    }),
  }),
})

const ENDPOINT_IDS =
  'Only these endpoints, `ep_…`, up to 100. Absent: all of the tenant, oldest first, which must not be more than 500.'

builder.objectFields(EventRef, (t) => ({
  channels: t.stringList({
    description: 'The channels it carries, like `["eu", "vip"]`; empty when none were given.',
    resolve: ({ channels }) => channels,
  }),
  matched: t.boolean({
    nullable: true,
    description:
      'Whether any endpoint wanted it when it was routed, or since, with `eventRoute` or a replay of what an endpoint missed; null while that is still to come, and when it was expunged before.',
    // A key that may only publish sees the events it published, and nothing of what became of them.
    authScopes: { read: true },
    resolve: matchedOf,
  }),
  routing: t.field({
    type: [RoutingDecisionRef],
    description:
      'Where it would go, were it routed now, and the delivery that it has there. Endpoints that were deleted are left out.',
    authScopes: { read: true },
    args: { endpointIds: t.arg.idList({ description: ENDPOINT_IDS }) },
    resolve: (event, { endpointIds }, { events }) => events.routing(event, endpointIds),
  }),
}))

builder.queryField('routingExplain', (t) =>
  t.field({
    type: [RoutingDecisionRef],
    description:
      'Why each endpoint would or would not get an event, were it published now. Nothing is published. What `eventPublish` would refuse is refused.',
    authScopes: { read: true },
    args: {
      event: t.arg({ type: EventPublishInput, required: true, description: 'The event.' }),
      endpointIds: t.arg.idList({ description: ENDPOINT_IDS }),
    },
    resolve: (_, { event, endpointIds }, { viewer, events }) => events.explain(viewer, event, endpointIds),
  }),
)

const EventRoutePayload = payloadType<{ eventId: EventId; deliveriesCreated: number }>('eventRoute', (t) => ({
  event: t.field({
    type: EventRef,
    nullable: true,
    description: 'The event; null when the call was refused.',
    resolve: ({ eventId }, _, { loaders }) => (eventId === null ? null : loaders.event.load(eventId)),
  }),
  deliveriesCreated: t.exposeInt('deliveriesCreated', {
    nullable: true,
    description: 'How many endpoints want it now and had no delivery of it: 0 when none. Null when refused.',
  }),
}))

builder.mutationField('eventRoute', (t) =>
  t.field({
    type: EventRoutePayload,
    description:
      'Routes an event again: endpoints that want it now and have no delivery of it get one. It goes in no lane there: its place would come too late. What has a delivery is left alone; `deliveryRetry` sends that again.',
    authScopes: { manage: true },
    args: { id: t.arg.id({ required: true, description: 'The event, `evt_…`.' }) },
    resolve: (_, { id }, { viewer, events }) =>
      payloadOf(['eventId', 'deliveriesCreated'], () => events.route(viewer, id)),
  }),
)
