import { sql } from 'drizzle-orm'
import { bigint, boolean, check, doublePrecision, integer, text } from 'drizzle-orm/pg-core'
import { moment, postrider } from './postrider.ts'

/** One row about this installation. `epoch` marks its feed cursors, so that those of another database are recognised. */
export const installation = postrider.table(
  'installation',
  {
    only: boolean('only').primaryKey().default(true),
    epoch: text('epoch').notNull(),
    /** Sealed with the newest master key when the keys first met this database: wrong keys are noticed at the start. */
    keyCheck: text('key_check'),
    /** Every event accepted before this moment has been routed: the sweeper looks at younger ones only. */
    routedUntil: moment('routed_until'),
    /** The highest position of an attempt that retention dropped: a feed that goes on from an earlier one has a gap. */
    droppedPosition: bigint('dropped_position', { mode: 'number' }).notNull().default(0),
    /** The configuration of the process with an API that started last, as far as `postrider.publish` in SQL needs it. */
    maxPayloadBytes: integer('max_payload_bytes').notNull().default(262_144),
    idempotencyHours: doublePrecision('idempotency_hours').notNull().default(24),
    refusesUnknownEventTypes: boolean('refuses_unknown_event_types').notNull().default(false),
    createdAt: moment('created_at').notNull().defaultNow(),
  },
  (table) => [check('installation_only', sql`${table.only}`)],
)
