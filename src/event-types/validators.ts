import { setImmediate } from 'node:timers/promises'
import type { EventTypeId } from '../../schema/ids.ts'
import type { Sql } from '../postgres/client.ts'
import { compileSchema, type Validator } from './compile.ts'

// Compiled, a schema of 1 KiB takes some 50 KiB.
const MOST_COMPILED_CHARACTERS = 1_000_000

type Wanted = { typeId: EventTypeId; version: string }
type Compiled = { typeId: EventTypeId; characters: number; validator: Validator | Promise<Validator | null> }

/** Schemas that were asked for, compiled: those that were not asked for the longest make room. */
export function createValidators(sql: Sql) {
  const compiled = new Map<string, Compiled>()
  const read = inOneStatement(sql)
  let characters = 0
  const drop = (key: string) => {
    characters -= compiled.get(key)?.characters ?? 0
    compiled.delete(key)
  }
  const load = async (key: string, entry: Compiled, version: string): Promise<Validator | null> => {
    const schema = await read({ typeId: entry.typeId, version })
    if (schema === null) return null
    const validator = compileSchema(schema)
    // Changed meanwhile: good for those who waited, and for nobody else.
    if (compiled.get(key) !== entry) return validator
    entry.characters = schema.length
    entry.validator = validator
    characters += schema.length
    for (const oldest of compiled.keys()) {
      if (characters <= MOST_COMPILED_CHARACTERS || oldest === key) break
      drop(oldest)
    }
    return validator
  }
  return {
    get(typeId: EventTypeId, version: string): Validator | Promise<Validator | null> {
      const key = `${typeId} ${version}`
      const known = compiled.get(key)
      if (known !== undefined) {
        compiled.delete(key)
        compiled.set(key, known)
        return known.validator
      }
      const entry = { typeId, characters: 0 } as Compiled
      compiled.set(key, entry)
      entry.validator = load(key, entry, version).catch((error) => {
        if (compiled.get(key) === entry) compiled.delete(key)
        throw error
      })
      return entry.validator
    },
    forget(typeId: EventTypeId): void {
      for (const key of [...compiled.keys()].filter((one) => one.startsWith(typeId))) drop(key)
    },
  }
}

/**
 * Reads the schemas that are wanted at the same moment together, and hands them out one by one: a batch of 500 events may be of
 * 500 types, and between two that are compiled others get their turn.
 */
function inOneStatement(sql: Sql): (wanted: Wanted) => Promise<string | null> {
  let gathering: { wanted: Wanted[]; rows: Promise<Map<string, string>> } | null = null
  let turn: Promise<unknown> = Promise.resolve()
  const nameOf = ({ typeId, version }: Wanted) => `${typeId} ${version}`
  const readAll = async (wanted: readonly Wanted[]) => {
    await setImmediate()
    gathering = null
    const rows = await sql<(Wanted & { schema: string })[]>`
      select event_type_id as "typeId", version, schema from postrider.event_type_versions
      join unnest(
        ${wanted.map(({ typeId }) => typeId)}::uuid[], ${wanted.map(({ version }) => version)}::text[]
      ) as wanted (event_type_id, version) using (event_type_id, version)`
    return new Map(rows.map((row) => [nameOf(row), row.schema]))
  }
  return async (one) => {
    if (gathering === null) {
      const wanted: Wanted[] = []
      gathering = { wanted, rows: readAll(wanted) }
    }
    gathering.wanted.push(one)
    const rows = await gathering.rows
    turn = turn.then(() => setImmediate())
    await turn
    return rows.get(nameOf(one)) ?? null
  }
}
