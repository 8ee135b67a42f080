import { bigint, text } from 'drizzle-orm/pg-core'
import { endpoints } from './endpoints.ts'
import { id, moment, postrider } from './postrider.ts'

/** That an endpoint's filter could not be evaluated for some events, which counted as no match: the last one of them. */
export const filterFaults = postrider.table('filter_faults', {
  endpointId: id<'ep'>('endpoint_id')
    .primaryKey()
    .references(() => endpoints.id),
  tenantId: id<'ten'>('tenant_id').notNull(),
  /** How many there were since the filter was saved. */
  count: bigint('count', { mode: 'number' }).notNull(),
  eventId: id<'evt'>('event_id').notNull(),
  message: text('message').notNull(),
  at: moment('at').notNull(),
})
