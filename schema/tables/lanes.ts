import { sql } from 'drizzle-orm'
import { bigint, boolean, index, primaryKey, text } from 'drizzle-orm/pg-core'
import { id, moment, postrider } from './postrider.ts'

/** The deliveries of one endpoint, or of one ordering key at it, that must go in order. A row stays when its lane is empty. */
export const lanes = postrider.table(
  'lanes',
  {
    endpointId: id<'ep'>('endpoint_id').notNull(),
    /** The ordering key; empty for the one lane of a whole endpoint. */
    lane: text('lane').notNull(),
    tenantId: id<'ten'>('tenant_id').notNull(),
    /** The number of the youngest delivery in it. */
    lastSequence: bigint('last_sequence', { mode: 'number' }).notNull().default(0),
    /** The delivery whose turn it is; null: the lane is empty. */
    head: id<'dlv'>('head'),
    /** When something was put into it last: an empty lane that is old is forgotten. */
    usedAt: moment('used_at').notNull().defaultNow(),
    /** Its head has failed for good, and it waits for that one to be delivered or cancelled. */
    blocked: boolean('blocked').notNull().default(false),
  },
  (table) => [
    primaryKey({ columns: [table.endpointId, table.lane] }),
    index('lanes_blocked').on(table.endpointId).where(sql`${table.blocked}`),
  ],
)

/** Events that may go into lanes and have not been put there, in the order in which they were published. */
export const laneOutbox = postrider.table(
  'lane_outbox',
  {
    eventId: id<'evt'>('event_id').primaryKey(),
    tenantId: id<'ten'>('tenant_id').notNull(),
    position: bigint('position', { mode: 'number' }).notNull().generatedAlwaysAsIdentity(),
  },
  (table) => [index('lane_outbox_of_tenant').on(table.tenantId, table.position)],
)
