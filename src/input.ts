import { type Id, type Prefix, parsePublicId } from '../schema/ids.ts'
import { notAnId } from './given-id.ts'
import { Mistake } from './mistake.ts'

/** What callers give, read alike wherever it is taken. What cannot be used is a `Mistake`, never left out. */

export type Optional<T> = T | null | undefined

export const wrong = (path: readonly string[], message: string) => new Mistake('INVALID_INPUT', [...path], message)

/** What a number may be; `like`: one that makes sense. */
export type NumberRange = { from: number; to: number; unit: string; like: number }

/** A whole number within a range. Messages never repeat what was given: it may be a secret in the wrong place. */
export function readWhole(value: number, range: NumberRange, path: readonly string[]): number {
  if (Number.isInteger(value)) return readNumber(value, range, path, 'a whole number')
  throw wrong(path, `Must be ${wordsOf(range, 'a whole number')}.`)
}

/** A number within a range, with a fraction or without. */
export function readNumber(value: number, range: NumberRange, path: readonly string[], what = 'a number'): number {
  if (value >= range.from && value <= range.to) return value
  throw wrong(path, `Must be ${wordsOf(range, what)}.`)
}

/** `a whole number of seconds from 0 to 604800, like 3600`. */
export function wordsOf({ from, to, unit, like }: NumberRange, what: string): string {
  return `${what} ${unit === '' ? '' : `of ${unit} `}from ${from} to ${to}, like ${like}`
}

/** What a text is called in a message, how long it may be, and what it may not hold. */
export type TextRules = { what: string; least?: 0 | 1; most: number; without: RegExp; inWords: string }

/** Postgres text cannot hold it. */
export const NUL = { without: /\0/, inWords: 'U+0000' }

export function readText(text: string, path: readonly string[], rules: TextRules): string {
  const { what, least = 0, most, without, inWords } = rules
  // A lone surrogate would silently become U+FFFD.
  if (text.length >= least && text.length <= most && !without.test(text) && text.isWellFormed()) return text
  const length = least === 0 ? `at most ${most}` : `${least} to ${most}`
  throw wrong(path, `${what} has ${length} characters of valid Unicode, and no ${inWords}.`)
}

const MOST_VALUES = 100

export function readList<T>(values: Optional<readonly T[]>, path: readonly string[]): readonly T[] | null {
  if (values === null || values === undefined) return null
  if (values.length > 0 && values.length <= MOST_VALUES) return values
  throw wrong(path, `Give 1 to ${MOST_VALUES} values, or leave the field out; these are ${values.length}.`)
}

export function readIds<P extends Prefix>(
  prefix: P,
  texts: Optional<readonly string[]>,
  path: readonly string[],
): readonly Id<P>[] | null {
  return readList(texts, path)?.map((text, index) => readId(prefix, text, [...path, String(index)])) ?? null
}

/** The id behind a text. */
export function readId<P extends Prefix>(prefix: P, text: string, path: readonly string[]): Id<P> {
  const id = parsePublicId(prefix, text)
  if (id !== null) return id
  throw wrong(path, notAnId(prefix, text))
}

export type TimeRangeInput = { since?: Optional<Date>; until?: Optional<Date> }
/** From `since` on, and before `until`; null: open. */
export type TimeRange = { since: Date | null; until: Date | null }

export function readTimeRange(input: Optional<TimeRangeInput>, path: readonly string[]): TimeRange {
  const since = input?.since ?? null
  const until = input?.until ?? null
  if (since === null || until === null || since < until) return { since, until }
  const message = `until, ${until.toISOString()}, must be later than since, ${since.toISOString()}, or nothing can be found.`
  throw wrong([...path, 'until'], message)
}
