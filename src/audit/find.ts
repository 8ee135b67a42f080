import { and, eq, inArray, type SQL } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { type AuditEntryId, parsePublicId, prefixOf, type TenantId } from '../../schema/ids.ts'
import type { AuditAction } from '../../schema/states.ts'
import { auditLog } from '../../schema/tables/audit-log.ts'
import { adviceOnCredential, quoteGiven } from '../given-id.ts'
import { Mistake } from '../mistake.ts'
import type { Orm } from '../postgres/client.ts'
import { type Page, type PageRequest, pageBounds, pageLimit, pageOrder, toPage } from '../postgres/keyset.ts'
import { idsWithin } from '../postgres/time-range.ts'

export type AuditEntry = typeof auditLog.$inferSelect

type Optional<T> = T | null | undefined

export type AuditFilterInput = {
  actions?: Optional<readonly AuditAction[]>
  /** Public ids of what was changed, whatever kind it is. */
  objectIds?: Optional<readonly string[]>
  /** Public ids of credentials: `key_…`, `pts_…`. */
  actorIds?: Optional<readonly string[]>
  since?: Optional<Date>
  until?: Optional<Date>
}

/** Whose entries: one tenant's, or all, with those of the instance itself. */
type Whose = TenantId | 'every'

const MOST_VALUES = 100

/** Among these ids, the entries that can be seen. */
export async function findAuditEntries(orm: Orm, whose: Whose, ids: readonly AuditEntryId[]): Promise<AuditEntry[]> {
  return orm
    .select()
    .from(auditLog)
    .where(and(ofTenant(whose), inArray(auditLog.id, [...ids])))
}

/** A page of entries, newest first. Throws a `Mistake` for a filter that cannot be used. */
export async function listAuditEntries(
  orm: Orm,
  whose: Whose,
  filter: Optional<AuditFilterInput>,
  page: PageRequest,
): Promise<Page<AuditEntry>> {
  const rows = await orm
    .select()
    .from(auditLog)
    .where(and(ofTenant(whose), ...conditionsOf(filter ?? {}), ...pageBounds(auditLog.id, page)))
    .orderBy(pageOrder(auditLog.id, page))
    .limit(pageLimit(page))
  return toPage(rows, page)
}

function ofTenant(whose: Whose): SQL | undefined {
  return whose === 'every' ? undefined : eq(auditLog.tenantId, whose)
}

function conditionsOf({ actions, objectIds, actorIds, since, until }: AuditFilterInput): (SQL | undefined)[] {
  if (since && until && since >= until) {
    const message = 'until must be later than since, or nothing can be found.'
    throw new Mistake('INVALID_INPUT', ['filter', 'until'], message)
  }
  return [
    among(
      auditLog.action,
      readList(actions, 'actions', (action) => action),
    ),
    among(auditLog.object, readList(objectIds, 'objectIds', readObjectId)),
    among(auditLog.actorId, readList(actorIds, 'actorIds', readActorId)),
    ...idsWithin(auditLog.id, { since: since ?? null, until: until ?? null }),
  ]
}

// One value by itself: only then can an index be read in the order of the list, and no further than the page goes.
function among(column: PgColumn, values: readonly string[] | null): SQL | undefined {
  if (values === null) return undefined
  return values.length === 1 ? eq(column, values[0]) : inArray(column, [...values])
}

function readList<T>(
  values: Optional<readonly T[]>,
  name: string,
  read: (value: T, path: string[]) => string,
): readonly string[] | null {
  if (values === null || values === undefined) return null
  if (values.length === 0 || values.length > MOST_VALUES) {
    const message = `Give 1 to ${MOST_VALUES} values, or leave the field out; these are ${values.length}.`
    throw new Mistake('INVALID_INPUT', ['filter', name], message)
  }
  return [...new Set(values.map((value, index) => read(value, ['filter', name, String(index)])))]
}

function readObjectId(text: string, path: string[]): string {
  if (prefixOf(text) !== null) return text
  const message = `${quoteGiven(text)} is not an id: those are like ep_ and 26 characters.${adviceOnCredential(text)}`
  throw new Mistake('INVALID_INPUT', path, message)
}

function readActorId(text: string, path: string[]): string {
  const id = parsePublicId('key', text) ?? parsePublicId('pts', text)
  if (id !== null) return id
  const message = `${quoteGiven(text)} is not the id of an API key (key_…) or a portal session (pts_…).${adviceOnCredential(text)}`
  throw new Mistake('INVALID_INPUT', path, message)
}
