import { type CelInput, type CelMap, celList, celMap } from '@bufbuild/cel'

type Json = object | string | number | boolean | null
type JsonMap = CelMap & { fields: Record<string, Json>; length: number }

/**
 * An object of a payload as filters see it, read where it is asked for. The library's own map looks through all of its keys for
 * one that is no text, which costs what no step is counted for, and takes a field that is null for one that is not there.
 */
const JSON_MAP = Object.setPrototypeOf(
  {
    get size() {
      return (this as unknown as JsonMap).length
    },
    get(this: JsonMap, key: unknown) {
      return typeof key === 'string' && Object.hasOwn(this.fields, key) ? seen(this.fields[key] as Json) : undefined
    },
    has(this: JsonMap, key: unknown) {
      return typeof key === 'string' && Object.hasOwn(this.fields, key)
    },
    keys(this: JsonMap) {
      return Object.keys(this.fields).values()
    },
    *entries(this: JsonMap) {
      for (const [key, value] of Object.entries(this.fields)) yield [key, seen(value)]
    },
    *values(this: JsonMap) {
      for (const value of Object.values(this.fields)) yield seen(value)
    },
    [Symbol.iterator](this: JsonMap) {
      return this.entries()
    },
  },
  // What it is known by as a map is inherited.
  celMap(new Map()),
)

// As long as the payload lives.
const made = new WeakMap<object, CelInput>()

/** A parsed payload, or a part of it, as filters see it. */
export function seen(json: Json): CelInput {
  if (typeof json !== 'object' || json === null) return json
  const known = made.get(json)
  if (known !== undefined) return known
  const value: CelInput = Array.isArray(json)
    ? celList(json.map(seen))
    : Object.assign(Object.create(JSON_MAP), { fields: json, length: Object.keys(json).length })
  made.set(json, value)
  return value
}
