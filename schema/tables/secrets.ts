import { index } from 'drizzle-orm/pg-core'
import { endpoints } from './endpoints.ts'
import { bytes, id, moment, postrider } from './postrider.ts'

/** The signing secrets of endpoints, sealed; erased when the endpoint is deleted. */
export const secrets = postrider.table(
  'secrets',
  {
    id: id<'sec'>('id').primaryKey(),
    tenantId: id<'ten'>('tenant_id').notNull(),
    endpointId: id<'ep'>('endpoint_id')
      .notNull()
      .references(() => endpoints.id),
    sealed: bytes('sealed').notNull(),
    createdAt: moment('created_at').notNull(),
    /** Until when it signs; null: until it is replaced. */
    signsUntil: moment('signs_until'),
  },
  (table) => [index('secrets_of_endpoint').on(table.endpointId)],
)
