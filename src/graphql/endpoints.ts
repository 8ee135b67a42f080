import { publicId } from '../../schema/ids.ts'
import type { StoredRetryPolicy } from '../../schema/tables/endpoints.ts'
import { DEFAULT_RETRY_POLICY } from '../deliveries/retry-policy.ts'
import type { Endpoint } from '../endpoints/find.ts'
import { delaysOf } from '../endpoints/retry-schedule.ts'
import { readPage } from '../postgres/keyset.ts'
import { builder } from './builder.ts'
import {
  AllowanceReasonEnum,
  DisabledReasonEnum,
  EndpointHealthEnum,
  EndpointStateEnum,
  HttpMethodEnum,
  OnBlockedEnum,
  OrderingEnum,
} from './enums.ts'
import { WHOSE } from './lists.ts'
import { find } from './loaders.ts'
import { DeliveryConnection, DeliveryRef, EndpointConnection, EndpointRef, NodeRef, TenantRef } from './refs.ts'
import { tenantOf } from './tenants.ts'

const ExponentialRetryRef = builder
  .objectRef<Extract<StoredRetryPolicy, { exponential: unknown }>['exponential']>('ExponentialRetry')
  .implement({
    description: 'Waits that grow.',
    fields: (t) => ({
      initialSeconds: t.exposeInt('initialSeconds', { description: 'Seconds after the first attempt.' }),
      factor: t.exposeFloat('factor', { description: 'How much longer each wait is than the one before, like 2.' }),
      maxSeconds: t.exposeInt('maxSeconds', { description: 'No wait is longer than this.' }),
      attempts: t.exposeInt('attempts', { description: 'How many attempts there are, with the first.' }),
    }),
  })

const FixedRetryRef = builder
  .objectRef<Extract<StoredRetryPolicy, { fixed: unknown }>['fixed']>('FixedRetry')
  .implement({
    description: 'Always the same wait.',
    fields: (t) => ({
      intervalSeconds: t.exposeInt('intervalSeconds', {
        description: 'Seconds from the end of one attempt to the next.',
      }),
      attempts: t.exposeInt('attempts', { description: 'How many attempts there are, with the first.' }),
    }),
  })

const RetryPolicyRef = builder.objectRef<StoredRetryPolicy>('RetryPolicy').implement({
  description: 'When failed attempts are repeated.',
  fields: (t) => ({
    delaysSeconds: t.intList({
      description:
        'Seconds from the end of one attempt to the next, each varied by ±20 %: `[5, 300]` makes three attempts. Empty: one attempt, no retry. However the schedule was given, this is what it comes to.',
      resolve: (policy) => [...delaysOf(policy)],
    }),
    exponential: t.field({
      type: ExponentialRetryRef,
      nullable: true,
      description: 'The schedule as it was given; null when it was not given as waits that grow.',
      resolve: (policy) => ('exponential' in policy ? policy.exponential : null),
    }),
    fixed: t.field({
      type: FixedRetryRef,
      nullable: true,
      description: 'The schedule as it was given; null when it was not given as one fixed wait.',
      resolve: (policy) => ('fixed' in policy ? policy.fixed : null),
    }),
  }),
})

const EndpointAllowanceRef = builder.objectRef<Endpoint>('EndpointAllowance').implement({
  description:
    'How many requests an endpoint is given at a time. Halved at most once a second while it pushes back, fails or slows down, and doubled again while it does not. Judged at its answers: without traffic it stays as it is.',
  fields: (t) => ({
    inFlight: t.int({
      description: 'How many requests may be under way at once now: 1 to `maxInFlight`.',
      resolve: ({ allowance, maxInFlight }) => Math.min(allowance ?? maxInFlight, maxInFlight),
    }),
    reason: t.expose('allowanceReason', {
      type: AllowanceReasonEnum,
      nullable: true,
      description: 'Why that is fewer than `maxInFlight`; null when it is not.',
    }),
    changedAt: t.expose('allowanceChangedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it last changed; null when it never did, or the endpoint was resumed or moved since.',
    }),
  }),
})

EndpointRef.implement({
  description: 'A URL, the event types it wants, and how deliveries go to it.',
  interfaces: [NodeRef],
  fields: (t) => ({
    id: t.id({ description: 'The id, `ep_…`.', resolve: ({ id }) => publicId('ep', id) }),
    tenant: t.field({
      type: TenantRef,
      description: 'The tenant it belongs to.',
      resolve: (endpoint, _, { loaders }) => tenantOf(endpoint, loaders),
    }),
    url: t.exposeString('url', {
      description: 'Where deliveries go, in its normalised form: `https://example.com/webhooks`.',
    }),
    description: t.exposeString('description', {
      nullable: true,
      description: 'A note for people; null when there is none.',
    }),
    eventTypes: t.exposeStringList('eventTypes', {
      nullable: true,
      description:
        'The event types it wants: names, `invoice.*` for everything below `invoice`, or `*`. Null: every type but operational ones (`endpoint.*`, `delivery.*`), which only the tenant `operations` gets without naming them.',
    }),
    method: t.expose('method', { type: HttpMethodEnum, description: 'The HTTP method of its deliveries.' }),
    retry: t.field({
      type: RetryPolicyRef,
      description: 'When its failed attempts are repeated; the default schedule where none was set.',
      resolve: ({ retryPolicy }) => retryPolicy ?? DEFAULT_RETRY_POLICY,
    }),
    timeoutSeconds: t.exposeInt('timeoutSeconds', {
      description: 'Seconds for one attempt, from connecting to the end of the response.',
    }),
    maxInFlight: t.exposeInt('maxInFlight', {
      description: 'How many requests to it may be under way at once, over all processes.',
    }),
    ordering: t.expose('ordering', {
      type: OrderingEnum,
      description: 'Whether its deliveries go in the order of their events.',
    }),
    onBlocked: t.expose('onBlocked', {
      type: OnBlockedEnum,
      description: 'With an order: what happens behind a delivery that failed.',
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
    updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'When it was last changed, paused or resumed.' }),
    deliveries: t.connection(
      {
        type: DeliveryRef,
        description: 'Its deliveries, newest first. For a selection use the query `deliveries` with a filter.',
        resolve: ({ id }, page, { loaders }) => loaders.deliveriesOfEndpoint.load({ parent: id, page: readPage(page) }),
      },
      DeliveryConnection,
    ),
  }),
})

// How it is doing, which changes by itself.
builder.objectFields(EndpointRef, (t) => ({
  state: t.expose('state', { type: EndpointStateEnum, description: 'Whether it is sent to.' }),
  health: t.expose('health', { type: EndpointHealthEnum, description: 'How it has been answering.' }),
  failingSince: t.expose('failingSince', {
    type: 'DateTime',
    nullable: true,
    description:
      'When the first of nothing but failures ended; null when the last attempt succeeded, there was none, or it was resumed since: `health` then stays until the next success.',
  }),
  disabledReason: t.expose('disabledReason', {
    type: DisabledReasonEnum,
    nullable: true,
    description: 'Why Postrider stopped sending to it; null unless it is DISABLED.',
  }),
  disabledAt: t.expose('disabledAt', {
    type: 'DateTime',
    nullable: true,
    description: 'Since when it is DISABLED; null when it is not.',
  }),
  ratePerSecond: t.exposeFloat('ratePerSecond', {
    nullable: true,
    description:
      'How many requests it is sent in a second at most, over all processes; null: no limit but `maxInFlight`.',
  }),
  allowance: t.field({
    type: EndpointAllowanceRef,
    description: 'How many requests it may have at a time at present, and why.',
    resolve: (endpoint) => endpoint,
  }),
}))

const EndpointFilter = builder.inputType('EndpointFilter', {
  description: 'Which endpoints to list.',
  fields: (t) => ({
    states: t.field({ type: [EndpointStateEnum], description: 'In one of these states, like `[PAUSED, DISABLED]`.' }),
  }),
})

builder.queryFields((t) => ({
  endpoint: t.field({
    type: EndpointRef,
    nullable: true,
    description: 'An endpoint; null when there is none with this id, or it was deleted, or belongs to another tenant.',
    authScopes: { read: true },
    args: { id: t.arg.id({ required: true, description: 'The endpoint, `ep_…`.' }) },
    resolve: (_, { id }, { loaders }) => find(loaders.endpoint, 'ep', id),
  }),
  endpoints: t.connection(
    {
      type: EndpointRef,
      description: 'The endpoints of a tenant, newest first, without deleted ones.',
      authScopes: { read: true },
      args: {
        tenant: t.arg.string({
          description: WHOSE,
        }),
        filter: t.arg({ type: EndpointFilter, description: 'Which of them.' }),
      },
      resolve: (_, { tenant, filter, ...page }, { viewer, endpoints }) => endpoints.list(viewer, tenant, filter, page),
    },
    EndpointConnection,
  ),
}))
