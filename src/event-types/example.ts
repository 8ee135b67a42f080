import { type View, viewOf } from './schema-view.ts'
import { isObject, resolveRef, type Schema } from './schema-walk.ts'

// Deeper than that, fields that may be missing are left out; and what must nest deeper than the second has no end.
const FULL_DEPTH = 4
const MOST_DEPTH = 16
const MOST_STEPS = 20_000

const FORMATS: Record<string, string> = {
  'date-time': '2026-11-20T19:34:30Z',
  date: '2026-11-20',
  time: '19:34:30Z',
  duration: 'P1D',
  email: 'somebody@example.com',
  hostname: 'example.com',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
  uri: 'https://example.com/',
  url: 'https://example.com/',
  'uri-reference': '/',
  uuid: '01930b8e-7c1f-7000-8000-000000000000',
  byte: 'AA==',
}

/**
 * A value that most likely satisfies a schema, of the examples and defaults that stand in it where there are some. Whether it does
 * is for the schema to say: patterns and conditions are not looked at. Undefined when none can be made.
 */
export function deriveExample(root: Schema): unknown {
  let steps = 0
  const count = () => {
    if (++steps > MOST_STEPS) throw new RangeError('The schema branches without end')
  }
  try {
    return valueFor(root, root, 0, count)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function valueFor(root: Schema, schema: Schema, depth: number, count: () => void): unknown {
  if (depth > MOST_DEPTH) throw new RangeError('What must nest has no end')
  const written = writtenExample(root, schema)
  if (written !== undefined) return written
  const view = viewOf({ root, schema }, count)
  const [value] = view.values ?? []
  if (value !== undefined) return JSON.parse(value)
  const made = valueForView(root, view, schema, depth, count)
  if (view.branches === null) return made
  const branch = valueFor(root, view.branches[0] ?? true, depth + 1, count)
  return isObject(made) && isObject(branch) ? { ...made, ...branch } : branch
}

function writtenExample(root: Schema, schema: Schema): unknown {
  if (!isObject(schema)) return undefined
  const [first] = Array.isArray(schema.examples) ? schema.examples : []
  const written = first ?? schema.example ?? schema.default
  if (written !== undefined || typeof schema.$ref !== 'string') return written
  const target = resolveRef(root, schema.$ref)
  return target === null ? undefined : writtenExample(root, target)
}

const PREFERRED = ['object', 'array', 'string', 'integer', 'number', 'boolean', 'null']

function valueForView(root: Schema, view: View, schema: Schema, depth: number, count: () => void): unknown {
  const make = (part: Schema) => valueFor(root, part, depth + 1, count)
  switch (PREFERRED.find((type) => view.types.has(type))) {
    case 'object':
      return Object.fromEntries(
        [...new Set([...view.properties.keys(), ...view.required])]
          .filter((name) => view.required.has(name) || (depth < FULL_DEPTH && view.properties.get(name) !== false))
          .map((name) => [name, make(view.properties.get(name) ?? view.additional ?? true)]),
      )
    case 'array': {
      const fewest = Math.min(view.bounds.get('minItems') ?? (depth < FULL_DEPTH && view.items ? 1 : 0), 100)
      const length = Math.min(Math.max(fewest, view.prefixItems.length), view.bounds.get('maxItems') ?? 100)
      return Array.from({ length }, (_, index) => make(view.prefixItems[index] ?? view.items ?? true))
    }
    case 'string':
      return textOf(view, isObject(schema) ? schema.format : undefined)
    case 'integer':
    case 'number':
      return numberOf(view)
    case 'boolean':
      return true
    default:
      return null
  }
}

function textOf({ bounds, others }: View, format: unknown): string {
  const named = FORMATS[typeof format === 'string' ? format : String(JSON.parse(others.get('format') ?? '""'))]
  const shortest = Math.min(bounds.get('minLength') ?? 0, 4_096)
  return (named ?? 'text').padEnd(shortest, 'x').slice(0, named === undefined ? bounds.get('maxLength') : undefined)
}

function numberOf({ bounds, others }: View): number {
  const lowest =
    bounds.get('minimum') ?? (bounds.has('exclusiveMinimum') ? (bounds.get('exclusiveMinimum') as number) + 1 : null)
  const highest =
    bounds.get('maximum') ?? (bounds.has('exclusiveMaximum') ? (bounds.get('exclusiveMaximum') as number) - 1 : null)
  const step = Number(others.get('multipleOf') ?? 1)
  const from = lowest ?? Math.min(1, highest ?? 1)
  return Math.ceil(from / step) * step
}
