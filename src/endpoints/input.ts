import type { HttpMethod, OnBlocked, Ordering, PayloadFormat } from '../../schema/states.ts'
import type { endpoints } from '../../schema/tables/endpoints.ts'
import { checkUrl, type UrlRules } from '../egress/url-rules.ts'
import { NUL, type NumberRange, type Optional, readNumber, readText, readWhole, wrong } from '../input.ts'
import { readAll } from '../mistake.ts'
import { checkFilter } from './filter.ts'
import { readPatterns } from './matching.ts'
import { type RetryPolicyInput, readRetryPolicy } from './retry-schedule.ts'
import { readSigning, type SigningInput } from './signing.ts'
import { type PinInput, readListened, readPins } from './wishes.ts'

/** What a caller may set. In an update, absent is unchanged and null back to the default. */
export type EndpointSettings = {
  url?: Optional<string>
  description?: Optional<string>
  eventTypes?: Optional<readonly string[]>
  format?: Optional<PayloadFormat>
  signing?: Optional<SigningInput>
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
  | 'format'
  | 'signsStandard'
  | 'signsEd25519'
  | 'alsoSigns'
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

const DESCRIPTION = { what: 'A description', most: 1024, ...NUL }
export const TIMEOUT: NumberRange = { from: 1, to: 30, unit: 'seconds', like: 15 }
export const MAX_IN_FLIGHT: NumberRange = { from: 1, to: 1000, unit: 'requests', like: 20 }
export const RATE: NumberRange = { from: 0.01, to: 10_000, unit: 'requests per second', like: 0.5 }

/** What settings are judged by besides themselves. */
export type SettingRules = { urlRules: UrlRules; longestScheduleSeconds: number }

/** The columns that an input speaks of, checked; what it does not mention is left out. */
export function readSettings(
  input: EndpointSettings,
  path: readonly string[],
  { urlRules, longestScheduleSeconds }: SettingRules,
): Partial<EndpointColumns> {
  const at = (name: keyof EndpointSettings) => [...path, name]
  const { signing, ...read } = readAll({
    url: () => ifGiven(input.url, (url) => readUrl(url, at('url'), urlRules)),
    description: () =>
      ifGiven(input.description, (text) => (text === null ? null : readText(text, at('description'), DESCRIPTION))),
    eventTypes: () => ifGiven(input.eventTypes, (patterns) => readPatterns(patterns, at('eventTypes'))),
    channels: () => ifGiven(input.channels, (names) => names && readListened(names, at('channels'))),
    filter: () => ifGiven(input.filter, (text) => (text === null ? null : checkFilter(text, at('filter')))),
    versions: () => ifGiven(input.versions, (pins) => pins && readPins(pins, at('versions'))),
    format: () => ifGiven(input.format, (format) => format ?? 'ENVELOPE'),
    signing: () => readSigning(input.signing, at('signing')),
    method: () => ifGiven(input.method, (method) => method ?? 'POST'),
    retryPolicy: () =>
      ifGiven(input.retry, (retry) => retry && readRetryPolicy(retry, at('retry'), longestScheduleSeconds)),
    timeoutSeconds: () =>
      ifGiven(input.timeoutSeconds, (seconds) => readWhole(seconds ?? 15, TIMEOUT, at('timeoutSeconds'))),
    maxInFlight: () => ifGiven(input.maxInFlight, (most) => readWhole(most ?? 20, MAX_IN_FLIGHT, at('maxInFlight'))),
    ratePerSecond: () =>
      ifGiven(input.ratePerSecond, (rate) => (rate === null ? null : readNumber(rate, RATE, at('ratePerSecond')))),
    ordering: () => ifGiven(input.ordering, (ordering) => ordering ?? 'NONE'),
    onBlocked: () => ifGiven(input.onBlocked, (onBlocked) => onBlocked ?? 'WAIT'),
  })
  return withoutAbsent({ ...read, ...signing }) as Partial<EndpointColumns>
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
  if (url === null) throw wrong(path, 'An endpoint always has a URL: there is no default to go back to.')
  return checkUrl(url, path, rules)
}
