import { and, eq, inArray, type SQL } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { type AuditEntryId, parsePublicId, prefixOf, type TenantId } from '../../schema/ids.ts'
import type { AuditAction } from '../../schema/states.ts'
import { auditLog } from '../../schema/tables/audit-log.ts'
import { adviceOnCredential, quoteGiven } from '../given-id.ts'
import { type Optional, readList, readTimeRange, type TimeRangeInput, wrong } from '../input.ts'
import { readEach } from '../mistake.ts'
import type { Orm } from '../postgres/client.ts'
import { type Page, type PageRequest, pageBounds, pageLimit, pageOrder, toPage } from '../postgres/keyset.ts'
import { idsWithin } from '../postgres/time-range.ts'

export type AuditEntry = typeof auditLog.$inferSelect

export type AuditFilterInput = TimeRangeInput & {
  actions?: Optional<readonly AuditAction[]>
  /** Public ids of what was changed, whatever kind it is. */
  objectIds?: Optional<readonly string[]>
  /** Public ids of credentials: `key_…`, `pts_…`. */
  actorIds?: Optional<readonly string[]>
}

/** Whose entries: one tenant's, or all, with those of the instance itself. */
type Whose = TenantId | 'every'

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

function conditionsOf(filter: AuditFilterInput): (SQL | undefined)[] {
  const at = (name: keyof AuditFilterInput) => ['filter', name]
  const objects = readList(filter.objectIds, at('objectIds'))
  const actors = readList(filter.actorIds, at('actorIds'))
  return [
    among(auditLog.action, readList(filter.actions, at('actions'))),
    among(
      auditLog.object,
      objects && readEach(objects, (id, index) => readObjectId(id, [...at('objectIds'), `${index}`])),
    ),
    among(
      auditLog.actorId,
      actors && readEach(actors, (id, index) => readActorId(id, [...at('actorIds'), `${index}`])),
    ),
    ...idsWithin(auditLog.id, readTimeRange(filter, ['filter'])),
  ]
}

// One value by itself: only then can an index be read in the order of the list, and no further than the page goes.
function among(column: PgColumn, values: readonly string[] | null): SQL | undefined {
  if (values === null) return undefined
  const distinct = [...new Set(values)]
  return distinct.length === 1 ? eq(column, distinct[0]) : inArray(column, distinct)
}

function readObjectId(text: string, path: string[]): string {
  if (prefixOf(text) !== null) return text
  const message = `${quoteGiven(text)} is not an id: those are like ep_ and 26 characters.${adviceOnCredential(text)}`
  throw wrong(path, message)
}

function readActorId(text: string, path: string[]): string {
  const id = parsePublicId('key', text) ?? parsePublicId('pts', text)
  if (id !== null) return id
  const message = `${quoteGiven(text)} is not the id of an API key (key_…) or a portal session (pts_…).${adviceOnCredential(text)}`
  throw wrong(path, message)
}
