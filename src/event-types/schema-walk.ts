/** A JSON Schema (draft 2020-12), parsed. */
export type Schema = boolean | SchemaObject
export type SchemaObject = { readonly [keyword: string]: unknown }

/** A schema within another one: where it stands below it, and whether it judges the same value or one inside of it. */
export type Part = { path: readonly string[]; schema: Schema; samePlace: boolean }

/** What keywords hold: one schema, a list of them or a map; and whether those judge the same value. */
type Holds = { form: 'one' | 'list' | 'map'; samePlace: boolean }

const KEYWORDS = new Map<string, Holds>([
  ...holding('list', true, ['allOf', 'anyOf', 'oneOf']),
  ...holding('one', true, ['not', 'if', 'then', 'else']),
  ...holding('map', true, ['dependentSchemas', 'dependencies']),
  ...holding('map', false, ['properties', 'patternProperties']),
  ...holding('one', false, ['additionalProperties', 'propertyNames', 'unevaluatedProperties']),
  ...holding('list', false, ['prefixItems']),
  ...holding('one', false, ['items', 'contains', 'unevaluatedItems']),
  // Those judge nothing until a `$ref` leads to them.
  ...holding('map', false, ['$defs', 'definitions']),
])

function holding(form: Holds['form'], samePlace: boolean, keywords: readonly string[]) {
  return keywords.map((keyword) => [keyword, { form, samePlace }] as const)
}

export function isObject(value: unknown): value is SchemaObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export const isSchema = (value: unknown): value is Schema => typeof value === 'boolean' || isObject(value)

/** The schemas that stand right in this one, without those that its `$ref` leads to. */
export function partsOf(schema: SchemaObject): Part[] {
  const parts: Part[] = []
  for (const keyword of Object.keys(schema)) {
    const holds = KEYWORDS.get(keyword)
    if (holds === undefined) continue
    const value = schema[keyword]
    const { samePlace } = holds
    if (holds.form === 'one') {
      if (isSchema(value)) parts.push({ path: [keyword], schema: value, samePlace })
    } else if (typeof value === 'object' && value !== null) {
      for (const name of Object.keys(value)) {
        const part = (value as Record<string, unknown>)[name]
        if (isSchema(part)) parts.push({ path: [keyword, name], schema: part, samePlace })
      }
    }
  }
  return parts
}

/** The schema with each of the schemas that stand right in it replaced. */
export function mapParts(schema: SchemaObject, replace: (part: Schema) => Schema): Record<string, unknown> {
  const mapped: Record<string, unknown> = { ...schema }
  for (const { path, schema: part } of partsOf(schema)) {
    const [keyword, name] = path as [string, string | undefined]
    if (name === undefined) {
      mapped[keyword] = replace(part)
      continue
    }
    const holder = mapped[keyword]
    const copy = holder === schema[keyword] ? (Array.isArray(holder) ? [...holder] : { ...(holder as object) }) : holder
    // Not by assignment: a field named `__proto__` is a field like any other.
    Object.defineProperty(copy, name, { value: replace(part), enumerable: true, writable: true, configurable: true })
    mapped[keyword] = copy
  }
  return mapped
}

export const holdsSchemas = (keyword: string): boolean => KEYWORDS.has(keyword)

/** The schema that a `$ref` within the same document leads to: `#`, `#/$defs/money` or `#anchor`; null when there is none. */
export function resolveRef(root: Schema, ref: string): Schema | null {
  if (!ref.startsWith('#')) return null
  if (ref === '#') return root
  const found = ref.startsWith('#/') ? atPointer(root, ref.slice(1)) : findAnchor(root, ref.slice(1))
  return isSchema(found) ? found : null
}

/** The value that a JSON Pointer (RFC 6901), as it stands in a URI fragment, leads to; undefined when there is none. */
export function atPointer(root: unknown, pointer: string): unknown {
  let value = root
  for (const segment of pointer.split('/').slice(1)) {
    const key = unescapeFragment(segment).replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<string, unknown>)[key]
  }
  return value
}

function unescapeFragment(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

function findAnchor(schema: Schema, anchor: string): Schema | null {
  if (!isObject(schema)) return null
  if (schema.$anchor === anchor) return schema
  for (const part of partsOf(schema)) {
    const found = findAnchor(part.schema, anchor)
    if (found !== null) return found
  }
  return null
}

export function pointerOf(path: readonly string[]): string {
  return path.map((key) => `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

/** Every schema that stands in this one, itself among them. */
export function everySchema(root: Schema, visit: (schema: SchemaObject, path: readonly string[]) => void): void {
  const waiting: { schema: Schema; path: readonly string[] }[] = [{ schema: root, path: [] }]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { schema, path } = next
    if (!isObject(schema)) continue
    visit(schema, path)
    for (const part of partsOf(schema)) waiting.push({ schema: part.schema, path: [...path, ...part.path] })
  }
}
