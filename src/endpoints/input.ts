import type { HttpMethod, OnBlocked, Ordering } from '../../schema/states.ts'
import type { endpoints } from '../../schema/tables/endpoints.ts'
import { checkUrl, type UrlRules } from '../egress/url-rules.ts'
import { Mistake, readAll } from '../mistake.ts'
import { checkFilter } from './filter.ts'
import { checkPatterns } from './matching.ts'
import { type RetryPolicyInput, readRetryPolicy, readWhole } from './retry-schedule.ts'
import { type PinInput, readListened, readPins } from './wishes.ts'

type Optional<T> = T | null | undefined

/** What a caller may set. In an update, absent is unchanged and null back to the default. */
export type EndpointSettings = {
  url?: Optional<string>
  description?: Optional<string>
  eventTypes?: Optional<readonly string[]>
  channels?: Optional<readonly string[]>
  filter?: Optional<string>
  versions?: Optional<readonly PinInput[]>
  method?: Optional<HttpMethod>
  retry?: Optional<RetryPolicyInput>
  timeoutSeconds?: Optional<number>
  maxInFlight?: Optional<number>
  ratePerSecond?: Optional<number>
  ordering?: Optional<Ordering>
  onBlocked?: Optional<OnBlocked>
}

export type EndpointColumns = Pick<
  typeof endpoints.$inferInsert,
  | 'url'
  | 'description'
  | 'eventTypes'
  | 'channels'
  | 'filter'
  | 'versions'
  | 'method'
  | 'retryPolicy'
  | 'timeoutSeconds'
  | 'maxInFlight'
  | 'ratePerSecond'
  | 'ordering'
  | 'onBlocked'
>

const LONGEST_DESCRIPTION = 1024

/** What settings are judged by besides themselves. */
export type SettingRules = { urlRules: UrlRules; longestScheduleSeconds: number }

/** The columns that an input speaks of, checked; what it does not mention is left out. */
export function readSettings(
  input: EndpointSettings,
  path: readonly string[],
  { urlRules, longestScheduleSeconds }: SettingRules,
): Partial<EndpointColumns> {
  const at = (name: keyof EndpointSettings) => [...path, name]
  const read = readAll({
    url: () => ifGiven(input.url, (url) => readUrl(url, at('url'), urlRules)),
    description: () => ifGiven(input.description, (text) => readDescription(text, at('description'))),
    eventTypes: () => ifGiven(input.eventTypes, (patterns) => patterns && checkPatterns(patterns, at('eventTypes'))),
    channels: () => ifGiven(input.channels, (names) => names && readListened(names, at('channels'))),
    filter: () => ifGiven(input.filter, (text) => (text === null ? null : checkFilter(text, at('filter')))),
    versions: () => ifGiven(input.versions, (pins) => pins && readPins(pins, at('versions'))),
    method: () => ifGiven(input.method, (method) => method ?? 'POST'),
    retryPolicy: () =>
      ifGiven(input.retry, (retry) => retry && readRetryPolicy(retry, at('retry'), longestScheduleSeconds)),
    timeoutSeconds: () =>
      ifGiven(input.timeoutSeconds, (seconds) => readWhole(seconds ?? 15, 1, 30, at('timeoutSeconds'))),
    maxInFlight: () => ifGiven(input.maxInFlight, (most) => readWhole(most ?? 20, 1, 1000, at('maxInFlight'))),
    ratePerSecond: () => ifGiven(input.ratePerSecond, (rate) => readRate(rate, at('ratePerSecond'))),
    ordering: () => ifGiven(input.ordering, (ordering) => ordering ?? 'NONE'),
    onBlocked: () => ifGiven(input.onBlocked, (onBlocked) => onBlocked ?? 'WAIT'),
  })
  return withoutAbsent(read) as Partial<EndpointColumns>
}

/** Reads what an input mentions, be it null; what it does not mention stays absent. */
export function ifGiven<Given, Value>(given: Given | undefined, read: (given: Given) => Value): Value | undefined {
  return given === undefined ? undefined : read(given)
}

/** A whole set of columns for a new endpoint: what the input does not mention has its default. */
export function readNewSettings(
  input: EndpointSettings & { url: string },
  path: readonly string[],
  rules: SettingRules,
): EndpointColumns {
  return {
    url: input.url,
    ...readSettings({ timeoutSeconds: null, maxInFlight: null, ...withoutAbsent(input) }, path, rules),
  } as EndpointColumns
}

/** GraphQL inputs have no prototype, and `undefined` would override a default. */
function withoutAbsent<T extends object>(input: T): T {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as T
}

function readUrl(url: string | null, path: string[], rules: UrlRules): string {
  if (url === null)
    throw new Mistake('INVALID_INPUT', path, 'An endpoint always has a URL: there is no default to go back to.')
  return checkUrl(url, path, rules)
}

function readDescription(text: string | null, path: string[]): string | null {
  if (text === null) return null
  // Postgres text cannot hold U+0000, and a lone surrogate would silently become U+FFFD.
  if (text.length <= LONGEST_DESCRIPTION && !text.includes('\0') && text.isWellFormed()) return text
  const message = `A description has at most ${LONGEST_DESCRIPTION} characters of valid Unicode without U+0000.`
  throw new Mistake('INVALID_INPUT', path, message)
}

function readRate(rate: number | null, path: string[]): number | null {
  if (rate === null || (rate >= 0.01 && rate <= 10_000)) return rate
  throw new Mistake('INVALID_INPUT', path, `Must be from 0.01 to 10000 requests per second; it is ${rate}.`)
}
