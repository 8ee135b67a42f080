import { type SQL, sql } from 'drizzle-orm'
import { customType, pgSchema, timestamp, uuid } from 'drizzle-orm/pg-core'
import type { Id, Prefix } from '../ids.ts'

/** Everything of ours lives in a schema of its own, so that it can share a database with the producer's tables. */
export const postrider = pgSchema('postrider')

export const bytes = customType<{ data: Buffer; driverData: Buffer }>({ dataType: () => 'bytea' })

/** A UUIDv7 column branded with what it names. */
export const id = <P extends Prefix>(name: string) => uuid(name).$type<Id<P>>()

export const moment = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: 'date' })

/** `column IN ('A', 'B')` for a CHECK constraint. */
export function oneOf(column: unknown, values: readonly string[]): SQL {
  return sql`${column} in (${sql.raw(values.map((value) => `'${value}'`).join(', '))})`
}
