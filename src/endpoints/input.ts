import type { HttpMethod, OnBlocked, Ordering } from '../../schema/states.ts'
import type { endpoints } from '../../schema/tables/endpoints.ts'
import { checkUrl, type UrlRules } from '../egress/url-rules.ts'
import { Mistake } from '../mistake.ts'
import { checkPatterns } from './matching.ts'
import { type RetryPolicyInput, readRetryPolicy, readWhole } from './retry-schedule.ts'

type Optional<T> = T | null | undefined

/** What a caller may set. In an update, absent is unchanged and null back to the default. */
export type EndpointSettings = {
  url?: Optional<string>
  description?: Optional<string>
  eventTypes?: Optional<readonly string[]>
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
  return {
    ...(input.url === undefined ? {} : { url: readUrl(input.url, [...path, 'url'], urlRules) }),
    ...(input.description === undefined
      ? {}
      : { description: readDescription(input.description, [...path, 'description']) }),
    ...(input.eventTypes === undefined
      ? {}
      : { eventTypes: input.eventTypes && checkPatterns(input.eventTypes, [...path, 'eventTypes']) }),
    ...(input.method === undefined ? {} : { method: input.method ?? 'POST' }),
    ...(input.retry === undefined
      ? {}
      : { retryPolicy: input.retry && readRetryPolicy(input.retry, [...path, 'retry'], longestScheduleSeconds) }),
    ...(input.timeoutSeconds === undefined
      ? {}
      : { timeoutSeconds: readWhole(input.timeoutSeconds ?? 15, 1, 30, [...path, 'timeoutSeconds']) }),
    ...(input.maxInFlight === undefined
      ? {}
      : { maxInFlight: readWhole(input.maxInFlight ?? 20, 1, 1000, [...path, 'maxInFlight']) }),
    ...(input.ratePerSecond === undefined
      ? {}
      : { ratePerSecond: readRate(input.ratePerSecond, [...path, 'ratePerSecond']) }),
    ...(input.ordering === undefined ? {} : { ordering: input.ordering ?? 'NONE' }),
    ...(input.onBlocked === undefined ? {} : { onBlocked: input.onBlocked ?? 'WAIT' }),
  }
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
