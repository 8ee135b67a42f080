import { sql } from 'drizzle-orm'
import { boolean, check, doublePrecision, index, integer, jsonb, text } from 'drizzle-orm/pg-core'
import {
  ALLOWANCE_REASONS,
  type AllowanceReason,
  DISABLED_REASONS,
  type DisabledReason,
  ENDPOINT_HEALTHS,
  ENDPOINT_STATES,
  type EndpointHealth,
  type EndpointState,
  HTTP_METHODS,
  type HttpMethod,
  ON_BLOCKED,
  type OnBlocked,
  ORDERINGS,
  type Ordering,
  PAYLOAD_FORMATS,
  type PayloadFormat,
  type SignatureScheme,
} from '../states.ts'
import { id, moment, oneOf, postrider } from './postrider.ts'
import { tenants } from './tenants.ts'

/** How an endpoint's schedule is stored; null in the row means the default one. */
export type StoredRetryPolicy =
  | { delaysSeconds: number[] }
  | { exponential: { initialSeconds: number; factor: number; maxSeconds: number; attempts: number } }
  | { fixed: { intervalSeconds: number; attempts: number } }

/** By event type. */
export type StoredVersions = Record<string, string>
export type StoredSignature = { scheme: SignatureScheme; header: string }

/** A URL, the event types it wants, and how deliveries go to it. Rows stay after deletion: history names them. */
export const endpoints = postrider.table(
  'endpoints',
  {
    id: id<'ep'>('id').primaryKey(),
    tenantId: id<'ten'>('tenant_id')
      .notNull()
      .references(() => tenants.id),
    url: text('url').notNull(),
    description: text('description'),
    /** Null: every type. */
    eventTypes: text('event_types').array(),
    /** Null: any; else the event must carry one of them. */
    channels: text('channels').array(),
    /** An expression over the event that must hold; null: none. */
    filter: text('filter'),
    /** The one version of a type that this endpoint can read; null: every version of every type. */
    versions: jsonb('versions').$type<StoredVersions>(),
    format: text('format').$type<PayloadFormat>().notNull().default('ENVELOPE'),
    /** Whether requests carry the headers of Standard Webhooks with a signature of each secret. */
    signsStandard: boolean('signs_standard').notNull().default(true),
    /** Whether they are signed with the endpoint's signing keys as well (`v1a`). */
    signsEd25519: boolean('signs_ed25519').notNull().default(false),
    /** Signatures in headers of their own; null: none. */
    alsoSigns: jsonb('also_signs').$type<StoredSignature[]>(),
    method: text('method').$type<HttpMethod>().notNull().default('POST'),
    state: text('state').$type<EndpointState>().notNull().default('ACTIVE'),
    disabledReason: text('disabled_reason').$type<DisabledReason>(),
    disabledAt: moment('disabled_at'),
    health: text('health').$type<EndpointHealth>().notNull().default('HEALTHY'),
    /** When the first of nothing but failures ended; null when the last attempt succeeded. */
    failingSince: moment('failing_since'),
    /** How many they are, counted no further than the rules ask. */
    failedAttempts: integer('failed_attempts').notNull().default(0),
    /** How many requests it is given at a time; null: all of `max_in_flight`. */
    allowance: integer('allowance'),
    allowanceReason: text('allowance_reason').$type<AllowanceReason>(),
    allowanceChangedAt: moment('allowance_changed_at'),
    retryPolicy: jsonb('retry_policy').$type<StoredRetryPolicy>(),
    timeoutSeconds: integer('timeout_seconds').notNull(),
    maxInFlight: integer('max_in_flight').notNull(),
    /** How many requests it is sent in a second, at most; null: as many as `max_in_flight` makes. */
    ratePerSecond: doublePrecision('rate_per_second'),
    /** With a rate: when the next request may go. */
    nextSlotAt: moment('next_slot_at'),
    ordering: text('ordering').$type<Ordering>().notNull().default('NONE'),
    /** When `ordering` was last another one: events that were left to a lane then may not belong there any more. */
    orderingChangedAt: moment('ordering_changed_at'),
    onBlocked: text('on_blocked').$type<OnBlocked>().notNull().default('WAIT'),
    /** More waits than may go: routing gives its deliveries no ticket while this stands. Changed on transitions only. */
    backlog: boolean('backlog').notNull().default(false),
    createdAt: moment('created_at').notNull(),
    updatedAt: moment('updated_at').notNull(),
    deletedAt: moment('deleted_at'),
  },
  (table) => [
    index('endpoints_of_tenant').on(table.tenantId, table.id).where(sql`${table.deletedAt} is null`),
    index('endpoints_in_backlog').on(table.id).where(sql`${table.backlog}`),
    index('endpoints_ordered')
      .on(table.tenantId)
      .where(sql`${table.ordering} <> 'NONE' and ${table.deletedAt} is null`),
    check('endpoints_state', oneOf(table.state, ENDPOINT_STATES)),
    check('endpoints_disabled_reason', oneOf(table.disabledReason, DISABLED_REASONS)),
    check(
      'endpoints_disabled',
      sql`(${table.state} = 'DISABLED') = (${table.disabledReason} is not null) and (${table.disabledReason} is null) = (${table.disabledAt} is null)`,
    ),
    check('endpoints_health', oneOf(table.health, ENDPOINT_HEALTHS)),
    check('endpoints_failing', sql`${table.failingSince} is not null or ${table.failedAttempts} = 0`),
    check('endpoints_allowance_reason', oneOf(table.allowanceReason, ALLOWANCE_REASONS)),
    check(
      'endpoints_allowance',
      sql`${table.allowance} >= 1 and (${table.allowance} is null) = (${table.allowanceReason} is null)`,
    ),
    check('endpoints_method', oneOf(table.method, HTTP_METHODS)),
    check('endpoints_format', oneOf(table.format, PAYLOAD_FORMATS)),
    check('endpoints_rate', sql`${table.ratePerSecond} between 0.01 and 10000`),
    check('endpoints_ordering', oneOf(table.ordering, ORDERINGS)),
    check('endpoints_on_blocked', oneOf(table.onBlocked, ON_BLOCKED)),
    check('endpoints_timeout', sql`${table.timeoutSeconds} between 1 and 30`),
    check('endpoints_max_in_flight', sql`${table.maxInFlight} between 1 and 1000`),
  ],
)
