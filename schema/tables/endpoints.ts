import { sql } from 'drizzle-orm'
import { boolean, check, index, integer, jsonb, text } from 'drizzle-orm/pg-core'
import {
  DISABLED_REASONS,
  type DisabledReason,
  ENDPOINT_STATES,
  type EndpointState,
  HTTP_METHODS,
  type HttpMethod,
} from '../states.ts'
import { id, moment, oneOf, postrider } from './postrider.ts'
import { tenants } from './tenants.ts'

/** How an endpoint's schedule is stored; null in the row means the default one. */
export type StoredRetryPolicy =
  | { delaysSeconds: number[] }
  | { exponential: { initialSeconds: number; factor: number; maxSeconds: number; attempts: number } }
  | { fixed: { intervalSeconds: number; attempts: number } }

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
    method: text('method').$type<HttpMethod>().notNull().default('POST'),
    state: text('state').$type<EndpointState>().notNull().default('ACTIVE'),
    disabledReason: text('disabled_reason').$type<DisabledReason>(),
    disabledAt: moment('disabled_at'),
    retryPolicy: jsonb('retry_policy').$type<StoredRetryPolicy>(),
    timeoutSeconds: integer('timeout_seconds').notNull(),
    maxInFlight: integer('max_in_flight').notNull(),
    /** More waits than may go: routing gives its deliveries no ticket while this stands. Changed on transitions only. */
    backlog: boolean('backlog').notNull().default(false),
    createdAt: moment('created_at').notNull(),
    updatedAt: moment('updated_at').notNull(),
    deletedAt: moment('deleted_at'),
  },
  (table) => [
    index('endpoints_of_tenant').on(table.tenantId, table.id).where(sql`${table.deletedAt} is null`),
    index('endpoints_in_backlog').on(table.id).where(sql`${table.backlog}`),
    check('endpoints_state', oneOf(table.state, ENDPOINT_STATES)),
    check('endpoints_disabled_reason', oneOf(table.disabledReason, DISABLED_REASONS)),
    check(
      'endpoints_disabled',
      sql`(${table.state} = 'DISABLED') = (${table.disabledReason} is not null) and (${table.disabledReason} is null) = (${table.disabledAt} is null)`,
    ),
    check('endpoints_method', oneOf(table.method, HTTP_METHODS)),
    check('endpoints_timeout', sql`${table.timeoutSeconds} between 1 and 30`),
    check('endpoints_max_in_flight', sql`${table.maxInFlight} between 1 and 1000`),
  ],
)
