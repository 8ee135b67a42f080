import type { EventTypeId } from '../../schema/ids.ts'
import type { Sql } from '../postgres/client.ts'
import { compileSchema, type Validator } from './compile.ts'

// Compiled, a schema of 1 KiB takes some 50 KiB.
const MOST_COMPILED_CHARACTERS = 1_000_000

type Compiled = { typeId: EventTypeId; characters: number; validator: Validator | Promise<Validator | null> }

/** Schemas that were asked for, compiled: those that were not asked for the longest make room. */
export function createValidators(sql: Sql) {
  const compiled = new Map<string, Compiled>()
  let characters = 0
  const drop = (key: string) => {
    characters -= compiled.get(key)?.characters ?? 0
    compiled.delete(key)
  }
  const load = async (key: string, entry: Compiled, version: string): Promise<Validator | null> => {
    const [row] = await sql<{ schema: string }[]>`
      select schema from postrider.event_type_versions where event_type_id = ${entry.typeId} and version = ${version}`
    if (row === undefined) return null
    const validator = compileSchema(row.schema)
    // Changed meanwhile: good for those who waited, and for nobody else.
    if (compiled.get(key) !== entry) return validator
    compiled.set(key, { ...entry, characters: row.schema.length, validator })
    characters += row.schema.length
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
