import { text } from 'drizzle-orm/pg-core'
import { id, moment, postrider } from './postrider.ts'

/** A customer account that owns endpoints; `key` is how callers name it. */
export const tenants = postrider.table('tenants', {
  id: id<'ten'>('id').primaryKey(),
  key: text('key').notNull().unique(),
  createdAt: moment('created_at').notNull(),
})
