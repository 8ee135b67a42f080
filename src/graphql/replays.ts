import { publicId } from '../../schema/ids.ts'
import type { Replay } from '../replays/find.ts'
import type { ReplayPreview } from '../replays/preview.ts'
import { builder } from './builder.ts'
import { DeliveryFilter } from './deliveries.ts'
import {
  DeliveryStateEnum,
  ReplayFailureEnum,
  ReplaySkipReasonEnum,
  ReplayStateEnum,
  ReplayWarningEnum,
} from './enums.ts'
import { payload } from './errors.ts'
import { WHOSE } from './lists.ts'
import { find } from './loaders.ts'
import { payloadWith } from './payloads.ts'
import { NodeRef, ReplayConnection, ReplayRef, TenantRef } from './refs.ts'

ReplayRef.implement({
  description:
    'A bulk re-delivery. FAILED and CANCELLED deliveries begin anew with a fresh schedule, DELIVERED ones go once more, without retries, and stay DELIVERED whatever comes of it: `attempts(filter: { succeeded: false, since: … })` has those with the trigger REPLAY that failed. `webhook-id` never changes. It takes at most half of each endpoint’s `maxInFlight`, and one place where that is 1: new events go when its request has ended. It survives restarts, and does not change an endpoint’s health.',
  interfaces: [NodeRef],
  fields: (t) => ({
    id: t.id({ description: 'The id, `rpl_…`.', resolve: ({ id }) => publicId('rpl', id) }),
    tenant: t.field({
      type: TenantRef,
      description: 'Whose it is.',
      resolve: async ({ tenantId }, _, { loaders }) => {
        const tenant = await loaders.tenant.load(tenantId)
        if (tenant === null) throw new Error('A replay without a tenant')
        return tenant
      },
    }),
    select: t.field({
      type: 'JSON',
      description:
        'What it sends, as it was asked for: `{ "deliveries": { "states": ["FAILED"], "since": "2026-03-01T08:00:00.000Z" } }` or `{ "missed": { "endpointId": "ep_…", "since": "…" } }`.',
      resolve: ({ selection }) => selection,
    }),
    state: t.expose('state', { type: ReplayStateEnum, description: 'How far it is.' }),
    failure: t.expose('failure', {
      type: ReplayFailureEnum,
      nullable: true,
      description: 'Why it could not be finished; null unless it is FAILED.',
    }),
    total: t.exposeInt('total', {
      description: 'How many deliveries (or missed events) it selected when it was started.',
    }),
    redelivered: t.exposeInt('redelivered', {
      description:
        'How many of them it has handed over: they have been sent, or are about to be, or wait for their endpoint. After `replayCancel` those that were taken back do not count: they are taken back within seconds, and until then they do.',
    }),
    skipped: t.exposeInt('skipped', {
      description:
        'How many of them it does not send: pending ones, tests, those of deleted endpoints, and those that were sent or changed by somebody else meanwhile. When it is COMPLETED, `redelivered` and `skipped` make `total`.',
    }),
    createdAt: t.expose('createdAt', {
      type: 'DateTime',
      description: 'When it was started. What came later, or ended later, is not sent.',
    }),
    finishedAt: t.expose('finishedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it had handed everything over, was cancelled or failed; null while it runs.',
    }),
  }),
})

const MissedInput = builder.inputType('MissedInput', {
  description:
    'Events that never had a delivery to an endpoint although it wants their type now: published before it was created, or before it named that type. Tests are left out.',
  fields: (t) => ({
    endpointId: t.id({
      required: true,
      description: 'The endpoint, `ep_…`. It may be paused; deleted ones are refused.',
    }),
    since: t.field({ type: 'DateTime', required: true, description: 'Events accepted at this moment or later.' }),
    until: t.field({ type: 'DateTime', description: 'Events accepted before this moment. Absent: up to now.' }),
  }),
})

const ReplaySelectInput = builder.inputType('ReplaySelectInput', {
  description: 'What to replay: exactly one of its fields.',
  isOneOf: true,
  fields: (t) => ({
    deliveries: t.field({
      type: DeliveryFilter,
      description:
        'Deliveries, as in the query `deliveries`: `{ states: [FAILED], since: "2026-03-01T08:00:00Z" }`. Pending ones are left alone.',
    }),
    missed: t.field({ type: MissedInput, description: 'Events that an endpoint never got a delivery of.' }),
  }),
})

const ReplayInput = builder.inputType('ReplayInput', {
  description: 'A bulk re-delivery.',
  fields: (t) => ({
    tenant: t.string({ description: 'The tenant’s key. Absent: the API key’s own, or `default`.' }),
    select: t.field({ type: ReplaySelectInput, required: true, description: 'What to replay.' }),
  }),
})

const StateCountRef = builder.objectRef<ReplayPreview['states'][number]>('ReplayStateCount').implement({
  description: 'How many of the selected deliveries are in a state.',
  fields: (t) => ({
    state: t.expose('state', { type: DeliveryStateEnum, description: 'The state.' }),
    count: t.exposeInt('count', { description: 'How many.' }),
  }),
})

const SkipRef = builder.objectRef<ReplayPreview['skips'][number]>('ReplaySkip').implement({
  description: 'How many of the selected deliveries would not be sent, and why.',
  fields: (t) => ({
    reason: t.expose('reason', { type: ReplaySkipReasonEnum, description: 'Why.' }),
    count: t.exposeInt('count', { description: 'How many.' }),
  }),
})

const WarningRef = builder.objectRef<ReplayPreview['warnings'][number]>('ReplayWarning').implement({
  description: 'Something to know before the replay is started.',
  fields: (t) => ({
    code: t.expose('code', { type: ReplayWarningEnum, description: 'For programs.' }),
    message: t.exposeString('message', { description: 'For people. May change.' }),
  }),
})

const ReplayPreviewRef = builder.objectRef<ReplayPreview>('ReplayPreview').implement({
  description: 'What a replay would do if it were started now. Nothing is changed by asking.',
  fields: (t) => ({
    total: t.exposeInt('total', { description: 'How many deliveries (or missed events) are selected.' }),
    toRedeliver: t.exposeInt('toRedeliver', { description: 'How many of them would be sent.' }),
    states: t.expose('states', {
      type: [StateCountRef],
      description: 'The selected deliveries by state; empty for missed events, which have none yet.',
    }),
    skips: t.expose('skips', { type: [SkipRef], description: 'Those that would not be sent, by reason.' }),
    oldestAt: t.expose('oldestAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When the oldest event was accepted that would be sent; null when nothing would be.',
    }),
    warnings: t.expose('warnings', { type: [WarningRef], description: 'What to know before it is started.' }),
  }),
})

const ReplayFilter = builder.inputType('ReplayFilter', {
  description: 'Which replays.',
  fields: (t) => ({
    states: t.field({ type: [ReplayStateEnum], description: 'In one of these states, like `[RUNNING]`.' }),
  }),
})

const ID = { required: true, description: 'The replay, `rpl_…`.' } as const

builder.queryFields((t) => ({
  replay: t.field({
    type: ReplayRef,
    nullable: true,
    description: 'A replay; null when there is none with this id, or it belongs to another tenant.',
    authScopes: { read: true },
    args: { id: t.arg.id(ID) },
    resolve: (_, { id }, { loaders }) => find(loaders.replay, 'rpl', id),
  }),
  replays: t.connection(
    {
      type: ReplayRef,
      description: 'The replays of a tenant, newest first.',
      authScopes: { read: true },
      args: {
        tenant: t.arg.string({
          description: WHOSE,
        }),
        filter: t.arg({ type: ReplayFilter, description: 'Which of them.' }),
      },
      resolve: (_, { tenant, filter, ...page }, { viewer, replays }) => replays.list(viewer, tenant, filter, page),
    },
    ReplayConnection,
  ),
  replayPreview: t.field({
    type: ReplayPreviewRef,
    description: 'Counts what `replayStart` with the same input would send, and says what to know before.',
    authScopes: { read: true },
    args: { input: t.arg({ type: ReplayInput, required: true, description: 'What to replay.' }) },
    resolve: (_, { input }, { viewer, replays }) => replays.preview(viewer, input),
  }),
}))

const ReplayStartPayload = payloadWith('replay', ReplayRef, 'replayStart', 'The new replay')
const ReplayCancelPayload = payloadWith(
  'replay',
  ReplayRef,
  'replayCancel',
  'The replay as it is now: `redelivered` may still count what is being taken back; `replayProgress` ends with what it comes to',
)

builder.mutationFields((t) => ({
  replayStart: t.field({
    type: ReplayStartPayload,
    description:
      'Sends deliveries again, oldest first, at up to 250 a second. Paused and disabled endpoints get theirs when they are resumed. Ordered endpoints get them beside their order. A tenant may have 10 running.',
    authScopes: { manage: true },
    args: { input: t.arg({ type: ReplayInput, required: true, description: 'What to replay.' }) },
    resolve: (_, { input }, { viewer, replays }) => payload('replay', () => replays.start(viewer, input)),
  }),
  replayCancel: t.field({
    type: ReplayCancelPayload,
    description:
      'Stops a replay. What it has not reached stays as it is; what it has handed over and has not been tried yet is taken back: it becomes what it was before, and what the replay itself had created, of missed events, becomes CANCELLED. What is in flight, or has been tried, goes on.',
    authScopes: { manage: true },
    args: { id: t.arg.id(ID) },
    resolve: (_, { id }, { viewer, replays }) => payload('replay', () => replays.cancel(viewer, id)),
  }),
}))

builder.subscriptionField('replayProgress', (t) =>
  t.field({
    type: ReplayRef,
    description:
      'A replay as it is now, then whenever it has changed, up to five times a second; ends when the replay has ended.',
    authScopes: { read: true },
    args: { id: t.arg.id(ID) },
    subscribe: (_, { id }, { viewer, replays }) => replays.follow(viewer, id) as Promise<AsyncIterable<Replay>>,
    resolve: (replay) => replay,
  }),
)
