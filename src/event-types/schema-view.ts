import { canonical } from './canonical.ts'
import { isObject, resolveRef, type Schema, type SchemaObject } from './schema-walk.ts'

/** A schema and the document in which its references are looked up. */
export type Place = { readonly root: Schema; readonly schema: Schema }

/** What a schema says, with its references followed and `allOf` put together. */
export type View = {
  /** `number` without `integer` does not occur: whole numbers are numbers. */
  types: ReadonlySet<string>
  /** The values that are allowed, as text; null: all of them. */
  values: ReadonlySet<string> | null
  properties: ReadonlyMap<string, Schema>
  required: ReadonlySet<string>
  /** What members must satisfy that are not named; null: nothing is said. */
  additional: Schema | null
  prefixItems: readonly Schema[]
  items: Schema | null
  bounds: ReadonlyMap<string, number>
  /** Schemas of which one must be satisfied; null where there are none. */
  branches: readonly Schema[] | null
  /** Keywords whose meaning is not compared, as text. */
  others: ReadonlyMap<string, string>
}

export const LOWER_BOUNDS = ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties', 'minContains']
const UPPER_BOUNDS = ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties', 'maxContains']
const OTHERS = [
  'pattern',
  'format',
  'multipleOf',
  'uniqueItems',
  'contains',
  'not',
  'if',
  'then',
  'else',
  'dependentSchemas',
  'dependentRequired',
  'dependencies',
  'propertyNames',
  'patternProperties',
  'unevaluatedProperties',
  'unevaluatedItems',
]

export const ALL_TYPES = ['null', 'boolean', 'object', 'array', 'string', 'number', 'integer'] as const

/** Throws when it has been called too often: references branch without end in a few lines of schema. */
export type Count = () => void

export function viewOf({ root, schema }: Place, count: Count): View {
  return partsOf(root, schema, count)
    .map((part) => viewOfOne(root, part, count))
    .reduce(both)
}

/** The schema without `allOf` and `$ref`, and those that they bring. */
function partsOf(root: Schema, schema: Schema, count: Count): SchemaObject[] {
  count()
  if (!isObject(schema)) return [schema ? {} : { not: {} }]
  const target = typeof schema.$ref === 'string' ? resolveRef(root, schema.$ref) : null
  const allOf = Array.isArray(schema.allOf) ? (schema.allOf as Schema[]) : []
  return [schema, ...[...(target === null ? [] : [target]), ...allOf].flatMap((part) => partsOf(root, part, count))]
}

function viewOfOne(root: Schema, schema: SchemaObject, count: Count): View {
  const values = allowedValues(schema)
  const branches = [schema.anyOf, schema.oneOf].filter(Array.isArray) as Schema[][]
  const bounds = [...LOWER_BOUNDS, ...UPPER_BOUNDS].filter((keyword) => typeof schema[keyword] === 'number')
  const others = OTHERS.filter((keyword) => schema[keyword] !== undefined && schema[keyword] !== false)
  if (branches.length > 1) others.push('anyOf', 'oneOf')
  return {
    types: typesOf(schema, values),
    values: values === null ? null : new Set(values.map(canonical)),
    properties: new Map(isObject(schema.properties) ? (Object.entries(schema.properties) as [string, Schema][]) : []),
    required: new Set(Array.isArray(schema.required) ? (schema.required as string[]) : []),
    additional: (schema.additionalProperties as Schema | undefined) ?? null,
    prefixItems: Array.isArray(schema.prefixItems) ? (schema.prefixItems as Schema[]) : [],
    items: (schema.items as Schema | undefined) ?? null,
    bounds: new Map(bounds.map((keyword) => [keyword, schema[keyword] as number])),
    branches: branches.length === 1 ? (branches[0] as Schema[]) : null,
    others: new Map(others.map((keyword) => [keyword, written(root, schema[keyword], count)])),
  }
}

function allowedValues(schema: SchemaObject): readonly unknown[] | null {
  if (Object.hasOwn(schema, 'const')) return [schema.const]
  return Array.isArray(schema.enum) ? schema.enum : null
}

function typesOf(schema: SchemaObject, values: readonly unknown[] | null): Set<string> {
  const named = typeof schema.type === 'string' ? [schema.type] : (schema.type as string[] | undefined)
  const types = new Set(named ?? values?.map(typeOf) ?? ALL_TYPES)
  if (types.has('number')) types.add('integer')
  return types
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return Number.isInteger(value) ? 'integer' : typeof value
}

/** What must satisfy both. */
function both(one: View, other: View): View {
  const values =
    one.values && other.values ? new Set([...one.values].filter((value) => other.values?.has(value))) : null
  const branches = one.branches && other.branches ? null : (one.branches ?? other.branches)
  const twice = one.branches && other.branches ? [['allOf', canonical([one.branches, other.branches])] as const] : []
  return {
    types: new Set([...one.types].filter((type) => other.types.has(type))),
    values: values ?? one.values ?? other.values,
    properties: mergeMaps(one.properties, other.properties, both2),
    required: new Set([...one.required, ...other.required]),
    additional: oneOrBoth(one.additional, other.additional),
    prefixItems: one.prefixItems.length > 0 ? one.prefixItems : other.prefixItems,
    items: oneOrBoth(one.items, other.items),
    bounds: mergeMaps(one.bounds, other.bounds, (a, b, keyword) =>
      LOWER_BOUNDS.includes(keyword) ? Math.max(a, b) : Math.min(a, b),
    ),
    branches,
    others: new Map([...mergeMaps(one.others, other.others, (a, b) => [a, b].sort().join(' ')), ...twice]),
  }
}

const both2 = (one: Schema, other: Schema): Schema => ({ allOf: [one, other] })

function oneOrBoth(one: Schema | null, other: Schema | null): Schema | null {
  return one !== null && other !== null ? both2(one, other) : (one ?? other)
}

function mergeMaps<Value>(
  one: ReadonlyMap<string, Value>,
  other: ReadonlyMap<string, Value>,
  merge: (a: Value, b: Value, key: string) => Value,
): Map<string, Value> {
  const merged = new Map(one)
  for (const [key, value] of other) {
    const known = merged.get(key)
    merged.set(key, known === undefined ? value : merge(known, value, key))
  }
  return merged
}

/** What only describes: it may change at will. */
const ANNOTATIONS = [
  'title',
  'description',
  '$comment',
  'default',
  'examples',
  'example',
  'deprecated',
  'readOnly',
  'writeOnly',
  '$id',
  '$schema',
  '$defs',
  'definitions',
  '$anchor',
]

/** A value of a schema as text, the same for what means the same: with its references written out, without descriptions. */
export function written(root: Schema, value: unknown, count: Count, under: readonly string[] = []): string {
  count()
  if (Array.isArray(value)) return `[${value.map((item) => written(root, item, count, under)).join(',')}]`
  if (!isObject(value)) return JSON.stringify(value) ?? 'null'
  const ref = typeof value.$ref === 'string' && !under.includes(value.$ref) ? value.$ref : null
  const target = ref === null ? null : resolveRef(root, ref)
  const members = Object.entries(value)
    .filter(([keyword]) => !ANNOTATIONS.includes(keyword) && (target === null || keyword !== '$ref'))
    .map(([keyword, member]) => `${JSON.stringify(keyword)}:${written(root, member, count, under)}`)
  if (target !== null) members.push(`"$ref":${written(root, target, count, [...under, ref as string])}`)
  return `{${members.sort().join(',')}}`
}
