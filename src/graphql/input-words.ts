import { type GraphQLInputObjectType, type GraphQLLeafType, isEnumType } from 'graphql'
import { wordsOf } from '../input.ts'
import { rangeAt } from './number-ranges.ts'

/** What is wrong with a value, in plain words that never repeat it: it may be a secret in the wrong place. */

const EXPECTED: Record<string, string> = {
  String: 'a string',
  ID: 'an id, as a string',
  Boolean: 'true or false',
  DateTime: 'a date, a time and a zone (Z or +01:00), like "2026-11-20T19:34:30.123Z"',
}
const NUMBERS: Record<string, string> = { Int: 'a whole number', Float: 'a number' }
const FRACTION = 'one with a fraction or an exponent'
const FAR_OUTSIDE = 'one far outside of that'
const MOST_NAMES = 40

export type Wording = {
  /** The schema's own names are part of what is hidden with it. */
  hideNames: boolean
  /** Where in the arguments: some names tell what a number may be. */
  path: readonly (string | number)[]
}

/** What is wrong with a value that came as a variable, or null when it is as its type wants it. */
export function wrongLeaf(type: GraphQLLeafType, value: unknown, wording: Wording): string | null {
  try {
    // Suggestions would be searched for, in time that grows with the value.
    const parsed = isEnumType(type) ? type.parseValue(value, true) : type.parseValue(value)
    if (parsed !== undefined) return null
  } catch {
    // As for what is parsed to nothing.
  }
  return mustBe(type, typeof value === 'number' ? numberAs(type, Number.isInteger(value)) : kindOf(value), wording)
}

/** `found` says what was given, like `a number`. */
export function mustBe(type: GraphQLLeafType, found: string, { hideNames, path }: Wording): string {
  if (!isEnumType(type))
    return `must be ${numberAt(type, path) ?? EXPECTED[type.name] ?? `a ${type.name}`}; ${found} was given.`
  const values = type.getValues().map(({ name }) => name)
  if (hideNames || values.length > MOST_NAMES) return `must be a value of ${type.name}.`
  return `must be one of ${values.join(', ')}.`
}

/** What may be given where a number is taken: `a whole number of seconds from 1 to 30, like 15`; null where none is. */
export function numberAt(type: GraphQLLeafType, path: Wording['path']): string | null {
  const what = NUMBERS[type.name]
  if (what === undefined) return null
  const range = rangeAt(path)
  return range === null ? what : wordsOf(range, what)
}

/** A number that was given although it is not taken. */
export function numberAs(type: GraphQLLeafType, isWhole: boolean): string {
  if (type.name !== 'Int') return 'a number'
  return isWhole ? FAR_OUTSIDE : FRACTION
}

export function fieldsOf(type: GraphQLInputObjectType, { hideNames }: Pick<Wording, 'hideNames'>): string {
  const names = Object.keys(type.getFields())
  return hideNames || names.length > MOST_NAMES ? ` of ${type.name}` : ` of ${type.name} (${names.join(', ')})`
}

/** What a value of JSON is, without saying it. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return { string: 'a string', number: 'a number', boolean: 'true or false' }[typeof value as string] ?? 'an object'
}
