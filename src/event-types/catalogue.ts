import { setImmediate } from 'node:timers/promises'
import type { EventTypeId } from '../../schema/ids.ts'
import type { Sql } from '../postgres/client.ts'
import type { Wake } from '../queue/wake.ts'
import type { Validator } from './compile.ts'
import { nearestName } from './suggest.ts'
import { createValidators } from './validators.ts'
import { type KnownType, type Verdict, verdictOnName, verdictOnPayload } from './verdict.ts'

type Asked = { type: string; version: string | null /** JSON text. */; payload: string }

/** What publishing asks of the catalogue. */
export type Catalogue = {
  /** What is to become of each of these events, in their order. */
  judge(events: readonly Asked[]): Promise<Verdict[]>
  close(): void
}

export type CatalogueContext = { sql: Sql; wake: Pick<Wake, 'on'>; refusesUnknown: boolean }

type Row = KnownType & { id: EventTypeId; updatedAt: string }

// How long a change may go unnoticed when its wake-up was lost.
const FRESH_MS = 1_000
// A change is committed some time after the moment it bears: at most 30 s, and clocks are not exact.
const OVERLAP = '1 minute'
const MOST_SUGGESTIONS = 1_000
// Of judging payloads: then somebody else has a turn in this process.
const TURN_MS = 10
// Of a second. Among ten thousand names of the usual length one search takes 5 ms.
const MOST_SEARCHING_MS = 50

/**
 * The catalogue as this process knows it: names and rules of all types, and the schemas that were asked for, compiled. At most a
 * second old whenever it is used, and as new as the last wake-up; while nothing is published it costs nothing.
 */
export function createCatalogue(context: CatalogueContext): Catalogue {
  const validators = createValidators(context.sql)
  const types = new Map<string, Row>()
  const suggestions = createSuggestions(types)
  const freshness = keepFresh(context.wake, async () => {
    for (const row of await readChanged(context.sql, types)) {
      types.set(row.name, row)
      validators.forget(row.id)
      suggestions.forget()
    }
  })

  const judgeOne = (event: Asked): Verdict | Promise<Verdict> => {
    const type = types.get(event.type) ?? null
    const isUnknown = type === null || type.isArchived
    const { version, ...verdict } = verdictOnName({
      event,
      type,
      refusesUnknown: context.refusesUnknown,
      isEmpty: types.size === 0,
      suggest: () => (isUnknown ? suggestions.for(event.type) : nearestName(event.version ?? '', type.versions)),
    })
    if (type === null || version === null) return verdict
    const judge = (validator: Validator | null) =>
      validator === null ? verdict : verdictOnPayload(verdict, type, version, validator(JSON.parse(event.payload)))
    const validator = validators.get(type.id, version)
    return validator instanceof Promise ? validator.then(judge) : judge(validator)
  }

  return {
    async judge(events) {
      await freshness.ensure()
      const verdicts: (Verdict | Promise<Verdict>)[] = []
      let turn = performance.now()
      for (const event of events) {
        const verdict = judgeOne(event)
        // It is awaited below, and may fail before.
        if (verdict instanceof Promise) verdict.catch(() => {})
        verdicts.push(verdict)
        if (performance.now() - turn < TURN_MS) continue
        await setImmediate()
        turn = performance.now()
      }
      return Promise.all(verdicts)
    },
    close: () => freshness.close(),
  }
}

/** Calls `check` before something is used that may be out of date, once for all who ask meanwhile. */
function keepFresh(wake: Pick<Wake, 'on'>, check: () => Promise<void>) {
  let checkedAt = Number.NEGATIVE_INFINITY
  let checking: Promise<void> | null = null
  const outdate = () => {
    checkedAt = Number.NEGATIVE_INFINITY
  }
  const stopListening = wake.on('catalogue', outdate)
  const begin = () => {
    // Before it is read: what a wake-up tells of meanwhile may not be in it.
    checkedAt = performance.now()
    return check()
      .catch((error) => {
        outdate()
        throw error
      })
      .finally(() => {
        checking = null
      })
  }
  return {
    async ensure(): Promise<void> {
      while (checking !== null || performance.now() - checkedAt >= FRESH_MS) {
        checking ??= begin()
        await checking
      }
    },
    close: () => stopListening(),
  }
}

/** The names that may have been meant, kept: whoever is wrong once is so a thousand times. */
function createSuggestions(types: ReadonlyMap<string, Row>) {
  const known = new Map<string, string | null>()
  let since = Number.NEGATIVE_INFINITY
  let spentMs = 0
  const search = (name: string): string | null => {
    const startedAt = performance.now()
    if (startedAt - since >= 1_000) {
      since = startedAt
      spentMs = 0
    }
    // A courtesy, and not one that a batch of five hundred wrong names may hold everybody up with.
    if (spentMs >= MOST_SEARCHING_MS) return null
    const living = [...types.values()].flatMap((type) => (type.isArchived ? [] : [type.name]))
    const nearest = nearestName(name, living)
    spentMs += performance.now() - startedAt
    if (known.size >= MOST_SUGGESTIONS) known.clear()
    known.set(name, nearest)
    return nearest
  }
  return {
    for(name: string): string | null {
      const before = known.get(name)
      return before === undefined ? search(name) : before
    },
    forget: () => known.clear(),
  }
}

/** The types that were changed since they were read. Rows are never deleted. */
async function readChanged(sql: Sql, known: ReadonlyMap<string, Row>): Promise<Row[]> {
  let newest = ''
  for (const { updatedAt } of known.values()) if (updatedAt > newest) newest = updatedAt
  const recent = await sql<{ name: string; updatedAt: string }[]>`
    select name, to_char(updated_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US') as "updatedAt" from postrider.event_types
    where updated_at >= ${newest === '' ? '-infinity' : `${newest}Z`}::timestamptz - ${OVERLAP}::interval`
  const changed = recent
    .filter(({ name, updatedAt }) => known.get(name)?.updatedAt !== updatedAt)
    .map(({ name }) => name)
  if (changed.length === 0) return []
  return sql<Row[]>`
    select id, name, validation, deprecated_at is not null as "isDeprecated", replacement, archived_at is not null as "isArchived",
      to_char(updated_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US') as "updatedAt",
      array(
        select version from postrider.event_type_versions where event_type_id = type.id order by created_at, version
      ) as versions
    from postrider.event_types type where name = any(${changed as never}::text[])`
}
