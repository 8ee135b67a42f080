import { sql } from 'drizzle-orm'
import { boolean, index, jsonb, text } from 'drizzle-orm/pg-core'
import { id, moment, postrider } from './postrider.ts'

/** `path`: a JSON Pointer into the payload (RFC 6901), empty for the whole. `rule`: the keyword of JSON Schema that says no. */
export type SchemaFault = { path: string; rule: string; message: string }

/**
 * Something that happened. Partitioned by day over `id`, whose time is when the event was accepted.
 * The payload stands apart: routing updates this row without writing it again, lists never touch it, and it may be dropped sooner.
 */
export const events = postrider.table(
  'events',
  {
    id: id<'evt'>('id').primaryKey(),
    tenantId: id<'ten'>('tenant_id').notNull(),
    type: text('type').notNull(),
    version: text('version'),
    channels: text('channels').array().notNull(),
    orderingKey: text('ordering_key'),
    isTest: boolean('is_test').notNull().default(false),
    occurredAt: moment('occurred_at').notNull(),
    routedAt: moment('routed_at'),
    /** Since when routing it fails by our own fault; it is tried again now and then. */
    parkedAt: moment('parked_at'),
    /** False: no endpoint wanted it when it was routed. Of others null, or true where that was found out later. */
    matched: boolean('matched'),
    /** Where its payload does not satisfy the schema of its type, which only warns of that; null when it does. */
    schemaFaults: jsonb('schema_faults').$type<SchemaFault[]>(),
    /** When its payload was removed on request; this row is what is left of it. */
    expungedAt: moment('expunged_at'),
  },
  (table) => [
    index('events_of_tenant').on(table.tenantId, table.id),
    index('events_for_tests').on(table.tenantId, table.id).where(sql`${table.isTest}`),
    index('events_unmatched').on(table.tenantId, table.id).where(sql`${table.matched} = false`),
    index('events_expunged').on(table.tenantId, table.id).where(sql`${table.expungedAt} is not null`),
  ],
)

/** The payload's own bytes as text, never jsonb: what is stored is what is signed and sent. Partitioned like `events`. */
export const eventPayloads = postrider.table('event_payloads', {
  id: id<'evt'>('id').primaryKey(),
  payload: text('payload').notNull(),
})
