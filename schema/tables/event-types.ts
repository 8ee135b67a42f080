import { sql } from 'drizzle-orm'
import { check, index, primaryKey, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { VALIDATIONS, type Validation } from '../states.ts'
import { id, moment, oneOf, postrider } from './postrider.ts'

/** The catalogue: what may happen. The only rows that belong to no tenant. */
export const eventTypes = postrider.table(
  'event_types',
  {
    id: id<'ety'>('id').primaryKey(),
    name: text('name').notNull(),
    description: text('description'),
    /** Under which heading it is shown, like `Billing`. */
    group: text('group'),
    validation: text('validation').$type<Validation>().notNull().default('OFF'),
    deprecatedAt: moment('deprecated_at'),
    /** The name of the type to use instead. */
    replacement: text('replacement'),
    createdAt: moment('created_at').notNull(),
    updatedAt: moment('updated_at').notNull(),
    archivedAt: moment('archived_at'),
  },
  (table) => [
    uniqueIndex('event_types_name').on(table.name),
    index('event_types_updated').on(table.updatedAt),
    check('event_types_validation', oneOf(table.validation, VALIDATIONS)),
    check('event_types_replacement', sql`${table.replacement} is null or ${table.deprecatedAt} is not null`),
  ],
)

/** What the payloads of a type look like, version by version. */
export const eventTypeVersions = postrider.table(
  'event_type_versions',
  {
    eventTypeId: id<'ety'>('event_type_id')
      .notNull()
      .references(() => eventTypes.id),
    version: text('version').notNull(),
    /** JSON Schema 2020-12, as JSON text. */
    schema: text('schema').notNull(),
    /** A payload that satisfies it, as JSON text. */
    example: text('example').notNull(),
    createdAt: moment('created_at').notNull(),
    updatedAt: moment('updated_at').notNull(),
  },
  (table) => [primaryKey({ name: 'event_type_versions_pkey', columns: [table.eventTypeId, table.version] })],
)
