import type { FeedGapReason, FeedItem } from '../attempts/feed.ts'
import { AttemptFilter } from './attempts.ts'
import { builder } from './builder.ts'
import { WHOSE } from './lists.ts'
import { AttemptRef } from './refs.ts'

type ItemOf<Kind extends FeedItem['kind']> = Extract<FeedItem, { kind: Kind }>

const TYPE_NAMES = { attempt: 'AttemptRecorded', gap: 'FeedGap', heartbeat: 'FeedHeartbeat' } as const

const FeedItemRef = builder.interfaceRef<FeedItem>('DeliveryAttemptFeedItem').implement({
  description: 'What the live feed brings.',
  resolveType: ({ kind }) => TYPE_NAMES[kind],
  fields: (t) => ({
    cursor: t.exposeString('cursor', {
      description: 'Where the feed is now. Keep the last one: `after` with it goes on exactly here.',
    }),
  }),
})

builder.objectRef<ItemOf<'attempt'>>('AttemptRecorded').implement({
  description: 'An attempt was recorded.',
  interfaces: [FeedItemRef],
  fields: (t) => ({
    attempt: t.expose('attempt', { type: AttemptRef, description: 'The attempt.' }),
  }),
})

const FeedGapReasonEnum = builder.enumType('FeedGapReason', {
  description: 'Why a part of the feed cannot be brought.',
  values: {
    RETENTION: { description: 'It is older than what is kept.' },
    FOREIGN_CURSOR: {
      description:
        'The cursor is from another database, as after restoring an old backup, or it was made with a master key that is gone.',
    },
  } satisfies Record<FeedGapReason, object>,
})

builder.objectRef<ItemOf<'gap'>>('FeedGap').implement({
  description:
    'Between the cursor that was asked for and this one attempts may be missing: read them with the query `attempts`.',
  interfaces: [FeedItemRef],
  fields: (t) => ({
    reason: t.expose('reason', { type: FeedGapReasonEnum, description: 'Why attempts may be missing.' }),
  }),
})

builder.objectRef<ItemOf<'heartbeat'>>('FeedHeartbeat').implement({
  description: 'Nothing happened, and the feed lives: every 15 seconds.',
  interfaces: [FeedItemRef],
  fields: (t) => ({
    at: t.expose('at', { type: 'DateTime', description: 'When it was sent.' }),
  }),
})

builder.subscriptionField('deliveryAttempts', (t) =>
  t.field({
    type: FeedItemRef,
    description:
      'Every attempt as it is recorded, over WebSocket (`graphql-transport-ws`) or SSE (`Accept: text/event-stream`). With `after` nothing is missed and nothing comes twice. A client that reads too slowly is ended with the error FEED_OVERFLOW and the cursor to go on from.',
    authScopes: { read: true },
    args: {
      tenant: t.arg.string({
        description: WHOSE,
      }),
      filter: t.arg({ type: AttemptFilter, description: 'Which attempts.' }),
      after: t.arg.string({ description: 'The last cursor you have, of the same tenant. Absent: from now on.' }),
    },
    subscribe: (_, { tenant, filter, after }, { viewer, attempts }) =>
      attempts.follow(viewer, tenant, filter, after ?? null) as Promise<AsyncIterable<FeedItem>>,
    resolve: (item) => item,
  }),
)

builder.queryField('feedCursor', (t) =>
  t.string({
    description:
      'Where the live feed is now: read your lists, then subscribe with it as `after`, and nothing in between is missed.',
    authScopes: { read: true },
    args: {
      tenant: t.arg.string({
        description: WHOSE,
      }),
    },
    resolve: (_, { tenant }, { viewer, attempts }) => attempts.feedCursor(viewer, tenant),
  }),
)
