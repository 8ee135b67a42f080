import { sql } from 'drizzle-orm'
import { index, uniqueIndex } from 'drizzle-orm/pg-core'
import { endpoints } from './endpoints.ts'
import { bytes, id, moment, postrider } from './postrider.ts'

/** The signing secrets of endpoints, sealed; erased when they sign no more, and when the endpoint is deleted. */
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
  (table) => [
    index('secrets_of_endpoint').on(table.endpointId),
    // The newest one; each that is older ends some time.
    uniqueIndex('secrets_newest').on(table.endpointId).where(sql`${table.signsUntil} is null`),
    index('secrets_ending').on(table.signsUntil).where(sql`${table.signsUntil} is not null`),
    // The id of the key it is sealed with: a start asks which are needed, and a rotation goes through those of the old ones.
    index('secrets_of_master_key').on(sql`substr(${table.sealed}, 2, 8)`, table.id),
  ],
)
