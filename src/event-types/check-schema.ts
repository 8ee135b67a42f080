import { compilePattern, type Pattern } from './pattern.ts'
import { everySchema, isObject, partsOf, pointerOf, resolveRef, type Schema, type SchemaObject } from './schema-walk.ts'

/** What keeps a schema from being used: where in it, and why. */
export type SchemaProblem = { pointer: string; message: string }

// One of 200 fields has some 300. A thousand compile in half a second at worst.
export const MOST_SCHEMAS = 1_000
/** Of all its patterns together. */
const MOST_PATTERN_STEPS = 20_000
export const MOST_PROBLEMS = 5

/** What of JSON Schema 2020-12 would reach outside of the document, or make judging depend on the way that led there. */
const REFUSED: Record<string, string> = {
  $dynamicRef: 'is not supported: use $ref',
  $recursiveRef: 'is not supported: use $ref',
  $vocabulary: 'belongs into meta-schemas',
}

const DIALECT = 'https://json-schema.org/draft/2020-12/schema'

/** What is wrong with its `$schema`, if anything. */
export function foreignDialect({ $schema }: SchemaObject): string | null {
  const known = $schema === undefined || $schema === DIALECT || $schema === `${DIALECT}#`
  return known ? null : `$schema must be ${DIALECT}, or be left out`
}

/** Looks at a schema that satisfies the meta-schema: what is wrong with it, at most five problems. */
export function problemsOf(root: Schema): SchemaProblem[] {
  const every = new Map<Schema, readonly string[]>()
  everySchema(root, (schema, path) => every.set(schema, path))
  if (every.size > MOST_SCHEMAS) {
    return [{ pointer: '', message: `it is made of ${every.size} schemas; at most ${MOST_SCHEMAS} are allowed` }]
  }
  const problems: SchemaProblem[] = []
  const patterns = new Map<string, Pattern>()
  for (const [schema, path] of every) {
    const add = (keyword: string, message: string) => {
      problems.push({ pointer: pointerOf([...path, keyword]), message: `${keyword} ${message}` })
    }
    checkPatterns(schema as SchemaObject, patterns, add)
    checkRefs(root, schema as SchemaObject, every, add)
    if (problems.length >= MOST_PROBLEMS) return problems.slice(0, MOST_PROBLEMS)
  }
  const circle = problems.length === 0 ? circleIn(root, every.keys()) : null
  const message = '$ref leads back to itself without going into the value'
  return circle === null ? problems : [{ pointer: pointerOf(every.get(circle) as string[]), message }]
}

type Add = (keyword: string, message: string) => void

function checkRefs(root: Schema, schema: SchemaObject, every: ReadonlyMap<Schema, unknown>, add: Add): void {
  for (const [keyword, message] of Object.entries(REFUSED)) if (keyword in schema) add(keyword, message)
  const dialect = foreignDialect(schema)
  if (dialect !== null) add('$schema', dialect.slice('$schema '.length))
  if (schema.$id !== undefined && schema !== root) add('$id', 'is allowed at the top only')
  if (typeof schema.$ref !== 'string') return
  const ref = JSON.stringify(schema.$ref.slice(0, 200))
  const target = resolveRef(root, schema.$ref)
  if (!schema.$ref.startsWith('#')) add('$ref', `${ref} leads out of the schema: only "#/…" is followed`)
  else if (target === null) add('$ref', `${ref} leads to no schema`)
  else if (isObject(target) && !every.has(target))
    add('$ref', `${ref} leads to no schema: keep those that are shared in $defs`)
}

function checkPatterns(schema: SchemaObject, known: Map<string, Pattern>, add: Add): void {
  const sources = [
    ...(typeof schema.pattern === 'string' ? [['pattern', schema.pattern] as const] : []),
    ...(isObject(schema.patternProperties) ? Object.keys(schema.patternProperties) : []).map(
      (source) => ['patternProperties', source] as const,
    ),
  ]
  for (const [keyword, source] of sources) {
    if (known.has(source)) continue
    const steps = [...known.values()].reduce((sum, { size }) => sum + size, 0)
    if (steps > MOST_PATTERN_STEPS) {
      add(keyword, `is one too many: all of them come to more than ${MOST_PATTERN_STEPS} steps`)
      return
    }
    try {
      known.set(source, compilePattern(source))
    } catch (error) {
      const why = (error as Error).message.slice(0, 200)
      add(
        keyword,
        `${JSON.stringify(source.slice(0, 200))} cannot be used: ${why}. Patterns run on a linear-time engine, RE2, without look-around and back references`,
      )
    }
  }
}

/** A schema that is judged by itself again and again, at the same value: it would never end. Null when there is none. */
function circleIn(root: Schema, every: Iterable<Schema>): Schema | null {
  const done = new Set<Schema>()
  const under = new Set<Schema>()
  const visit = (schema: Schema): Schema | null => {
    if (!isObject(schema) || done.has(schema)) return null
    if (under.has(schema)) return schema
    under.add(schema)
    const parts = partsOf(schema).flatMap((part) => (part.samePlace ? [part.schema] : []))
    const target = typeof schema.$ref === 'string' ? resolveRef(root, schema.$ref) : null
    for (const each of target === null ? parts : [...parts, target]) {
      const found = visit(each)
      if (found !== null) return found
    }
    under.delete(schema)
    done.add(schema)
    return null
  }
  for (const schema of every) {
    const found = visit(schema)
    if (found !== null) return found
  }
  return null
}
