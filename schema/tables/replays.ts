import { sql } from 'drizzle-orm'
import { check, index, integer, jsonb, primaryKey, text, uuid } from 'drizzle-orm/pg-core'
import { type DeliveryState, REPLAY_FAILURES, REPLAY_STATES, type ReplayFailure, type ReplayState } from '../states.ts'
import { id, moment, oneOf, postrider } from './postrider.ts'
import { tenants } from './tenants.ts'

/** What a replay sends, as it was asked for and found usable: public ids, times in ISO 8601. */
export type StoredSelection =
  | {
      deliveries: {
        endpointIds?: string[]
        eventIds?: string[]
        eventTypes?: string[]
        states?: DeliveryState[]
        since?: string
        until?: string
      }
    }
  | { missed: { endpointId: string; since: string; until?: string } }

/** A bulk re-delivery. All of its work and state is here: whoever takes its next turn needs nothing else. */
export const replays = postrider.table(
  'replays',
  {
    id: id<'rpl'>('id').primaryKey(),
    tenantId: id<'ten'>('tenant_id')
      .notNull()
      .references(() => tenants.id),
    selection: jsonb('selection').$type<StoredSelection>().notNull(),
    state: text('state').$type<ReplayState>().notNull().default('RUNNING'),
    failure: text('failure').$type<ReplayFailure>(),
    /** No delivery or event beyond it: what came after the start is not for this replay. */
    upTo: uuid('up_to').notNull(),
    /** How many it selected when it was started. */
    total: integer('total').notNull(),
    redelivered: integer('redelivered').notNull().default(0),
    skipped: integer('skipped').notNull().default(0),
    /** When there is something to do for it, at the earliest; null: never again. */
    nextTurnAt: moment('next_turn_at'),
    createdAt: moment('created_at').notNull(),
    finishedAt: moment('finished_at'),
  },
  (table) => [
    index('replays_of_tenant').on(table.tenantId, table.id),
    index('replays_in_turn').on(table.nextTurnAt).where(sql`${table.nextTurnAt} is not null`),
    check('replays_state', oneOf(table.state, REPLAY_STATES)),
    check('replays_failure', oneOf(table.failure, REPLAY_FAILURES)),
    check('replays_failed', sql`(${table.state} = 'FAILED') = (${table.failure} is not null)`),
    check('replays_finished', sql`(${table.state} = 'RUNNING') = (${table.finishedAt} is null)`),
    check('replays_have_a_turn', sql`${table.state} <> 'RUNNING' or ${table.nextTurnAt} is not null`),
    check(
      'replays_counts',
      sql`${table.redelivered} >= 0 and ${table.skipped} >= 0 and ${table.redelivered} + ${table.skipped} <= ${table.total}`,
    ),
  ],
)

/** The part of a replay that goes to one endpoint: each has a position of its own, so that a slow one holds up no other. */
export const replayParts = postrider.table(
  'replay_parts',
  {
    replayId: id<'rpl'>('replay_id')
      .notNull()
      .references(() => replays.id),
    endpointId: id<'ep'>('endpoint_id').notNull(),
    tenantId: id<'ten'>('tenant_id').notNull(),
    /** The last id that is done with, oldest first: of deliveries, or of events where they were missed. */
    position: uuid('position').notNull(),
    /** When to go on, at the earliest; null: it is done. */
    nextTurnAt: moment('next_turn_at'),
  },
  (table) => [
    primaryKey({ columns: [table.replayId, table.endpointId] }),
    index('replay_parts_in_turn')
      .on(table.replayId, table.nextTurnAt, table.endpointId)
      .where(sql`${table.nextTurnAt} is not null`),
  ],
)
