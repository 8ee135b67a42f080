import { type Id, type Prefix, parsePublicId } from '../../schema/ids.ts'
import { checkPatterns } from '../endpoints/matching.ts'
import { notAnId } from '../given-id.ts'
import { Mistake } from '../mistake.ts'

/** The fields that filters of lists and feeds have in common. A filter that cannot be used is an error, never ignored. */

type Optional<T> = T | null | undefined

export type TimeRangeInput = { since?: Optional<Date>; until?: Optional<Date> }
/** From `since` on, and before `until`; null: open. */
export type TimeRange = { since: Date | null; until: Date | null }

export const MOST_FILTER_ENTRIES = 100

export function readList<T>(values: Optional<readonly T[]>, path: readonly string[]): readonly T[] | null {
  if (values === null || values === undefined) return null
  if (values.length > 0 && values.length <= MOST_FILTER_ENTRIES) return values
  const message = `Give 1 to ${MOST_FILTER_ENTRIES} values, or leave the field out; these are ${values.length}.`
  throw new Mistake('INVALID_INPUT', [...path], message)
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
  throw new Mistake('INVALID_INPUT', [...path], notAnId(prefix, text))
}

export function readEventTypes(
  patterns: Optional<readonly string[]>,
  path: readonly string[],
): readonly string[] | null {
  return patterns === null || patterns === undefined ? null : checkPatterns(patterns, path)
}

export function readTimeRange(input: Optional<TimeRangeInput>, path: readonly string[]): TimeRange {
  const since = input?.since ?? null
  const until = input?.until ?? null
  if (since !== null && until !== null && since >= until) {
    const message = `until, ${until.toISOString()}, must be later than since, ${since.toISOString()}, or nothing can be found.`
    throw new Mistake('INVALID_INPUT', [...path, 'until'], message)
  }
  return { since, until }
}
