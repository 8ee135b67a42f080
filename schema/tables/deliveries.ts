import { sql } from 'drizzle-orm'
import { bigint, check, index, integer, jsonb, text, uuid } from 'drizzle-orm/pg-core'
import {
  ATTEMPT_TRIGGERS,
  type AttemptTrigger,
  DELIVERY_STATES,
  type DeliveryState,
  FAILED_REASONS,
  type FailedReason,
  STORED_WAITS,
  type StoredWait,
} from '../states.ts'
import { id, moment, oneOf, postrider } from './postrider.ts'

/** How a delivery had ended, as of `settledAt` in ISO 8601. */
export type BeforeReplay = { state: 'FAILED' | 'CANCELLED'; failedReason: FailedReason | null; settledAt: string }

/** The duty to bring one event to one endpoint. Partitioned by day over `id`, which is derived from both (`deliveryIdOf`). */
export const deliveries = postrider.table(
  'deliveries',
  {
    id: id<'dlv'>('id').primaryKey(),
    tenantId: id<'ten'>('tenant_id').notNull(),
    eventId: id<'evt'>('event_id').notNull(),
    endpointId: id<'ep'>('endpoint_id').notNull(),
    eventType: text('event_type').notNull(),
    state: text('state').$type<DeliveryState>().notNull().default('PENDING'),
    /** Null in a failed one from before there were reasons: EXHAUSTED. */
    failedReason: text('failed_reason').$type<FailedReason>(),
    waitingFor: text('waiting_for').$type<StoredWait>(),
    /** Its one living ticket: a ticket that is not this one is dropped. */
    ticketId: uuid('ticket_id'),
    /** The lane it goes in, and its number there; null: it goes in no order. */
    lane: text('lane'),
    sequence: bigint('sequence', { mode: 'number' }),
    attemptsMade: integer('attempts_made').notNull().default(0),
    /** How many of them the schedule made; attempts by hand stand beside it. */
    scheduledAttemptsMade: integer('scheduled_attempts_made').notNull().default(0),
    nextAttemptAt: moment('next_attempt_at'),
    requestedTrigger: text('requested_trigger').$type<AttemptTrigger>(),
    requestedAt: moment('requested_at'),
    /** The replay that sends it (again), until it is settled. */
    replayId: id<'rpl'>('replay_id'),
    /** What a replay that reopened it has found: it becomes that again when it is taken back untried. */
    beforeReplay: jsonb('before_replay').$type<BeforeReplay>(),
    lastAttemptId: id<'att'>('last_attempt_id'),
    createdAt: moment('created_at').notNull(),
    settledAt: moment('settled_at'),
  },
  (table) => [
    index('deliveries_of_tenant').on(table.tenantId, table.id),
    index('deliveries_of_endpoint').on(table.endpointId, table.id),
    index('deliveries_waiting')
      .on(table.endpointId, table.waitingFor, table.id)
      .where(sql`${table.waitingFor} is not null`),
    index('deliveries_of_replay')
      .on(table.replayId, table.endpointId, table.id)
      .where(sql`${table.waitingFor} = 'REPLAY'`),
    index('deliveries_ticketed').on(table.endpointId, table.id).where(sql`${table.ticketId} is not null`),
    index('deliveries_to_retry').on(table.nextAttemptAt).where(sql`${table.waitingFor} = 'RETRY'`),
    index('deliveries_in_lane')
      .on(table.endpointId, table.lane, table.sequence)
      .where(sql`${table.waitingFor} = 'ORDER'`),
    check('deliveries_state', oneOf(table.state, DELIVERY_STATES)),
    check('deliveries_failed_reason', oneOf(table.failedReason, FAILED_REASONS)),
    check('deliveries_only_failed_have_a_reason', sql`${table.failedReason} is null or ${table.state} = 'FAILED'`),
    check('deliveries_waiting_for', oneOf(table.waitingFor, STORED_WAITS)),
    check('deliveries_requested_trigger', oneOf(table.requestedTrigger, ATTEMPT_TRIGGERS)),
    check('deliveries_ticket_or_wait', sql`${table.ticketId} is null or ${table.waitingFor} is null`),
    check(
      'deliveries_pending_goes_or_waits',
      sql`(${table.state} = 'PENDING' or ${table.requestedTrigger} is not null) = (${table.ticketId} is not null or ${table.waitingFor} is not null)`,
    ),
    check(
      'deliveries_retry_has_a_time',
      sql`${table.waitingFor} is distinct from 'RETRY' or ${table.nextAttemptAt} is not null`,
    ),
    check(
      'deliveries_replay_goes_or_waits',
      sql`${table.replayId} is null or ${table.ticketId} is not null or ${table.waitingFor} is not null`,
    ),
    check(
      'deliveries_wait_for_replay',
      sql`${table.waitingFor} is distinct from 'REPLAY' or ${table.replayId} is not null`,
    ),
    check('deliveries_in_lane_have_a_number', sql`(${table.lane} is null) = (${table.sequence} is null)`),
    check('deliveries_settled', sql`(${table.state} = 'PENDING') = (${table.settledAt} is null)`),
    check('deliveries_requested', sql`(${table.requestedTrigger} is null) = (${table.requestedAt} is null)`),
  ],
)
