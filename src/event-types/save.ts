import { and, count, desc, eq, sql } from 'drizzle-orm'
import { type EventTypeId, newId, publicId } from '../../schema/ids.ts'
import type { Validation } from '../../schema/states.ts'
import { eventTypes, eventTypeVersions } from '../../schema/tables/event-types.ts'
import { recordAction } from '../audit/record.ts'
import { wrong } from '../input.ts'
import { Mistake } from '../mistake.ts'
import type { Db, Orm } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { LOCKS } from '../postgres/locks.ts'
import type { Wake } from '../queue/wake.ts'
import type { Viewer } from '../tenants/access.ts'
import { type BreakingChange, breakingChanges } from './compatibility.ts'
import type { EventType } from './find.ts'
import { type CheckedType, type CheckedVersion, type EventTypeSettings, readEventType } from './input.ts'

export type CatalogueSaveContext = { db: Pick<Db, 'orm'>; wake: Pick<Wake, 'signal'>; clock: Clock }

export const MOST_TYPES = 10_000
export const MOST_VERSIONS = 50

/** Refuses a schema for what it would break. */
export class BreakingChanges extends Mistake {
  readonly changes: readonly BreakingChange[]

  constructor(changes: readonly BreakingChange[], path: string[]) {
    const told = changes
      .slice(0, 5)
      .map(({ pointer, rule, message }) => `${pointer || 'the whole'} (${rule}): ${message}`)
    const more = changes.length > told.length ? ` And ${changes.length - told.length} more.` : ''
    super(
      'BREAKING_CHANGE',
      path,
      `The schema would break those who rely on the one before. ${told.join(' ')}${more} Give it as a new version with allowBreaking: true if that is intended.`,
    )
    this.changes = changes
  }
}

export type SavedType = {
  id: EventTypeId
  state: 'CREATED' | 'CHANGED' | 'UNCHANGED'
  breaking: readonly BreakingChange[]
}

/** Adds a type to the catalogue, or changes what the input mentions of it; one that was archived is there again. */
export async function saveEventType(
  context: CatalogueSaveContext,
  viewer: Viewer,
  input: EventTypeSettings,
  allowBreaking: boolean,
): Promise<SavedType> {
  const checked = readEventType(input, ['input'])
  const now = context.clock.now()
  const saved = await context.db.orm.transaction(async (tx) => {
    await lockCatalogue(tx)
    const saved = await applyType(tx, checked, { now, allowBreaking, path: ['input'] })
    const { version, ...settings } = checked
    const details = { ...settings, ...(version ? { version: version.version } : {}), breaking: saved.breaking.length }
    await recordAction(
      tx,
      viewer,
      { action: 'EVENT_TYPE_SAVE', tenantId: null, object: publicId('ety', saved.id), details },
      now,
    )
    return saved
  })
  context.wake.signal('catalogue')
  return saved
}

/** One change at a time: what a schema is compared with, and what is counted, stays as it is until the commit. */
export async function lockCatalogue(tx: Pick<Orm, 'execute'>): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(${sql.raw(LOCKS.catalogue)})`)
}

type Applied = { now: Date; allowBreaking: boolean; path: readonly string[] }
type CatalogueTx = Pick<Orm, 'select' | 'insert' | 'update'>

/** Writes one type, all of it or nothing. Mistakes: INVALID_INPUT, BREAKING_CHANGE; nothing is written then. */
export async function applyType(
  tx: CatalogueTx,
  checked: CheckedType,
  { now, allowBreaking, path }: Applied,
): Promise<SavedType> {
  const [before] = await tx.select().from(eventTypes).where(eq(eventTypes.name, checked.name))
  const versions = before ? await versionsOf(tx, before.id) : []
  const planned = checked.version ? planVersion(versions, checked.version, path) : null
  const breaking = planned?.before
    ? breakingChanges(JSON.parse(planned.before), JSON.parse(planned.version.schema))
    : []
  if (breaking.length > 0 && !allowBreaking) throw new BreakingChanges(breaking, [...path, 'version', 'schema'])
  const columns = columnsOf(before ?? null, checked, now)
  if (columns.validation !== 'OFF' && versions.length === 0 && planned === null) {
    const message = `With validation ${columns.validation} the type needs a schema: give a version.`
    throw wrong([...path, 'validation'], message)
  }
  if (before === undefined) await refuseTooMany(tx, path)
  const isSame = before !== undefined && !planned?.isChange && isUnchanged(before, columns)
  if (isSame) return { id: before.id, state: 'UNCHANGED', breaking }
  const id = before?.id ?? newId<'ety'>(now)
  // A moment of its own for each change of a type: that is how other processes know of it.
  const updatedAt = later(now, before?.updatedAt)
  if (before)
    await tx
      .update(eventTypes)
      .set({ ...columns, updatedAt })
      .where(eq(eventTypes.id, id))
  else await tx.insert(eventTypes).values({ id, name: checked.name, ...columns, createdAt: now, updatedAt })
  if (planned?.isChange) await writeVersion(tx, id, planned, later(now, versions[0]?.createdAt), now)
  return { id, state: before ? 'CHANGED' : 'CREATED', breaking }
}

const later = (now: Date, last: Date | undefined) => new Date(Math.max(now.getTime(), (last?.getTime() ?? 0) + 1))

type Version = typeof eventTypeVersions.$inferSelect

/** Newest first. */
function versionsOf(tx: CatalogueTx, id: EventTypeId): Promise<Version[]> {
  const { eventTypeId, createdAt, version } = eventTypeVersions
  return tx.select().from(eventTypeVersions).where(eq(eventTypeId, id)).orderBy(desc(createdAt), desc(version))
}

/** `before`: the schema that it is compared with, that of the same version, else of the newest. */
type Planned = { version: CheckedVersion; existed: boolean; isChange: boolean; before: string | null }

function planVersion(versions: readonly Version[], version: CheckedVersion, path: readonly string[]): Planned {
  const same = versions.find((one) => one.version === version.version)
  if (same === undefined && versions.length >= MOST_VERSIONS) {
    const message = `The type has ${versions.length} versions; at most ${MOST_VERSIONS} are allowed. Change one of them.`
    throw wrong([...path, 'version', 'version'], message)
  }
  const isChange = same?.schema !== version.schema || same.example !== version.example
  return { version, existed: same !== undefined, isChange, before: (same ?? versions[0])?.schema ?? null }
}

async function writeVersion(tx: CatalogueTx, eventTypeId: EventTypeId, planned: Planned, createdAt: Date, now: Date) {
  const { version, schema, example } = planned.version
  if (!planned.existed) {
    await tx.insert(eventTypeVersions).values({ eventTypeId, version, schema, example, createdAt, updatedAt: now })
    return
  }
  const same = and(eq(eventTypeVersions.eventTypeId, eventTypeId), eq(eventTypeVersions.version, version))
  await tx.update(eventTypeVersions).set({ schema, example, updatedAt: now }).where(same)
}

type Columns = Pick<EventType, 'description' | 'group' | 'validation' | 'deprecatedAt' | 'replacement' | 'archivedAt'>

/** Absent is unchanged, null back to the default. */
function columnsOf(before: EventType | null, checked: CheckedType, now: Date): Columns {
  const { description, group, validation, deprecated, replacement } = checked
  const isDeprecated = deprecated ?? (deprecated === undefined && before?.deprecatedAt != null)
  return {
    description: description === undefined ? (before?.description ?? null) : description,
    group: group === undefined ? (before?.group ?? null) : group,
    validation: (validation === undefined ? before?.validation : validation) ?? ('OFF' satisfies Validation),
    deprecatedAt: isDeprecated ? (before?.deprecatedAt ?? now) : null,
    replacement: !isDeprecated ? null : replacement === undefined ? (before?.replacement ?? null) : replacement,
    archivedAt: null,
  }
}

const isUnchanged = (before: EventType, columns: Columns) =>
  Object.entries(columns).every(([name, value]) => String(before[name as keyof Columns]) === String(value))

async function refuseTooMany(tx: CatalogueTx, path: readonly string[]): Promise<void> {
  const [row] = await tx.select({ types: count() }).from(eventTypes)
  if ((row?.types ?? 0) < MOST_TYPES) return
  throw wrong([...path, 'name'], `The catalogue is full: it holds at most ${MOST_TYPES} event types.`)
}
