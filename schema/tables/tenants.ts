import { sql } from 'drizzle-orm'
import { text, uniqueIndex } from 'drizzle-orm/pg-core'
import { id, moment, postrider } from './postrider.ts'

/** A customer account that owns endpoints; `key` is how callers name it. Rows stay after deletion: history names them. */
export const tenants = postrider.table(
  'tenants',
  {
    id: id<'ten'>('id').primaryKey(),
    key: text('key').notNull(),
    /** What people call it; null when no name was given. */
    name: text('name'),
    createdAt: moment('created_at').notNull(),
    deletedAt: moment('deleted_at'),
  },
  // The key of a deleted tenant may be given again, to another one.
  (table) => [uniqueIndex('tenants_living_key').on(table.key).where(sql`${table.deletedAt} is null`)],
)
