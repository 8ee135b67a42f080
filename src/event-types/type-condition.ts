import { or, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'

/** What `matchesPattern` says of a column: whether one of the patterns matches the event type in it. */
export function typeCondition(eventType: PgColumn, patterns: readonly string[]): SQL | undefined {
  if (patterns.includes('*')) return undefined
  return or(
    ...patterns.map((pattern) =>
      // Not LIKE: the underscore of a name is a wildcard there.
      pattern.endsWith('.*') ? sql`starts_with(${eventType}, ${pattern.slice(0, -1)})` : sql`${eventType} = ${pattern}`,
    ),
  )
}
