import { type GraphQLInputObjectType, type GraphQLLeafType, isEnumType } from 'graphql'

/** What is wrong with a value, in plain words that never repeat it: it may be a secret in the wrong place. */

const EXPECTED: Record<string, string> = {
  String: 'a string',
  ID: 'an id, as a string',
  Int: 'a whole number from -2147483648 to 2147483647',
  Float: 'a number',
  Boolean: 'true or false',
  DateTime: 'a date, a time and a zone (Z or +01:00), like "2026-11-20T19:34:30.123Z"',
}
/** To name the range of Int as well would be misleading: what takes the number takes far less. */
export const FRACTION = 'one with a fraction or an exponent'
const MOST_NAMES = 40

export type Wording = { /** The schema's own names are part of what is hidden with it. */ hideNames: boolean }

/** What is wrong with a value that came as a variable, or null when it is as its type wants it. */
export function wrongLeaf(type: GraphQLLeafType, value: unknown, wording: Wording): string | null {
  try {
    // Suggestions would be searched for, in time that grows with the value.
    const parsed = isEnumType(type) ? type.parseValue(value, true) : type.parseValue(value)
    if (parsed !== undefined) return null
  } catch {
    // As for what is parsed to nothing.
  }
  const isFraction = typeof value === 'number' && !Number.isInteger(value)
  return mustBe(type, isFraction && type.name === 'Int' ? FRACTION : kindOf(value), wording)
}

/** `found` says what was given, like `a number`. */
export function mustBe(type: GraphQLLeafType, found: string, { hideNames }: Wording): string {
  if (found === FRACTION) return `must be a whole number; ${FRACTION} was given.`
  if (!isEnumType(type)) return `must be ${EXPECTED[type.name] ?? `a ${type.name}`}; ${found} was given.`
  const values = type.getValues().map(({ name }) => name)
  if (hideNames || values.length > MOST_NAMES) return `must be a value of ${type.name}.`
  return `must be one of ${values.join(', ')}.`
}

export function fieldsOf(type: GraphQLInputObjectType, { hideNames }: Wording): string {
  const names = Object.keys(type.getFields())
  return hideNames || names.length > MOST_NAMES ? ` of ${type.name}` : ` of ${type.name} (${names.join(', ')})`
}

/** What a value of JSON is, without saying it. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return { string: 'a string', number: 'a number', boolean: 'true or false' }[typeof value as string] ?? 'an object'
}
