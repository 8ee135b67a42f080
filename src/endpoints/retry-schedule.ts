import type { StoredRetryPolicy } from '../../schema/tables/endpoints.ts'
import { type NumberRange, type Optional, readNumber, readWhole, wrong } from '../input.ts'
import { readAll, readEach } from '../mistake.ts'

/** Exactly one of them: `@oneOf` in the API. */
export type RetryPolicyInput = {
  delaysSeconds?: Optional<readonly number[]>
  exponential?: Optional<{
    initialSeconds: number
    factor?: Optional<number>
    maxSeconds?: Optional<number>
    attempts: number
  }>
  fixed?: Optional<{ intervalSeconds: number; attempts: number }>
}

export const MOST_DELAYS = 20
export const MOST_ATTEMPTS = 100
const DAY_SECONDS = 86_400
export const LONGEST_DELAY_SECONDS = 7 * DAY_SECONDS
const DAYS_LEFT_AFTER_FAILURE = 7
/** Each wait is stretched or shortened by up to this share, so that what failed together does not come back together. */
export const JITTER = 0.2
export const DEFAULT_FACTOR = 2
export const DEFAULT_MOST_SECONDS = DAY_SECONDS
export const DELAY: NumberRange = { from: 1, to: LONGEST_DELAY_SECONDS, unit: 'seconds', like: 60 }
export const ATTEMPTS: NumberRange = { from: 1, to: MOST_ATTEMPTS, unit: 'attempts', like: 8 }
export const FACTOR: NumberRange = { from: 1, to: 10, unit: '', like: 1.5 }

/**
 * How long all waits of a schedule may take together, where payloads are kept for so many days: the last attempt must leave
 * a week to see that it failed and to send it again. In whole days: 19 of 30.
 */
export function longestScheduleSeconds(bodyRetentionDays: number): number {
  return Math.floor((bodyRetentionDays - DAYS_LEFT_AFTER_FAILURE) / (1 + JITTER)) * DAY_SECONDS
}

/** The waits in seconds between the attempts of a policy, in order: one fewer than there are attempts. */
export function delaysOf(policy: StoredRetryPolicy): readonly number[] {
  if ('delaysSeconds' in policy) return policy.delaysSeconds
  if ('fixed' in policy) return Array.from({ length: policy.fixed.attempts - 1 }, () => policy.fixed.intervalSeconds)
  const { initialSeconds, factor, maxSeconds, attempts } = policy.exponential
  return Array.from({ length: attempts - 1 }, (_, index) =>
    Math.min(maxSeconds, Math.round(initialSeconds * factor ** index)),
  )
}

/** Checks a policy and returns it as it is stored; throws a `Mistake` that names the value at fault. */
export function readRetryPolicy(
  input: RetryPolicyInput,
  path: readonly string[],
  longestSeconds: number,
): StoredRetryPolicy {
  const given = Object.entries(input).filter(([, value]) => value !== undefined && value !== null)
  const kind = given[0]?.[0]
  if (given.length !== 1 || kind === undefined) {
    const message = 'Give exactly one of delaysSeconds, exponential and fixed, or null for the default schedule.'
    throw wrong(path, message)
  }
  const policy = readKind(input, path)
  const total = delaysOf(policy).reduce((sum, delay) => sum + delay, 0)
  if (total <= longestSeconds) return policy
  const days = (total / DAY_SECONDS).toFixed(1)
  const message = `This schedule takes ${days} days; at most ${longestSeconds / DAY_SECONDS} are allowed, so that it ends a week before payloads are no longer kept. Shorten it; the operator of this server sets the limit, (POSTRIDER_BODY_RETENTION_DAYS - ${DAYS_LEFT_AFTER_FAILURE}) / ${1 + JITTER} in whole days.`
  throw wrong([...path, kind], message)
}

function readKind({ delaysSeconds, exponential, fixed }: RetryPolicyInput, path: readonly string[]): StoredRetryPolicy {
  if (delaysSeconds) return { delaysSeconds: readDelays(delaysSeconds, [...path, 'delaysSeconds']) }
  if (fixed) {
    const at = [...path, 'fixed']
    const read = readAll({
      intervalSeconds: () => readWhole(fixed.intervalSeconds, DELAY, [...at, 'intervalSeconds']),
      attempts: () => readWhole(fixed.attempts, ATTEMPTS, [...at, 'attempts']),
    })
    return { fixed: read }
  }
  return { exponential: readExponential(exponential as NonNullable<typeof exponential>, [...path, 'exponential']) }
}

function readExponential(
  { initialSeconds, factor, maxSeconds, attempts }: NonNullable<RetryPolicyInput['exponential']>,
  path: readonly string[],
) {
  const { initial, ...read } = readAll({
    initial: () => readWhole(initialSeconds, DELAY, [...path, 'initialSeconds']),
    factor: () => readNumber(factor ?? DEFAULT_FACTOR, FACTOR, [...path, 'factor']),
    attempts: () => readWhole(attempts, ATTEMPTS, [...path, 'attempts']),
  })
  // Absent, the cap must not cut off what was asked for as the first wait.
  const most = maxSeconds ?? Math.max(DEFAULT_MOST_SECONDS, initial)
  return {
    initialSeconds: initial,
    maxSeconds: readWhole(most, { ...DELAY, from: initial, like: Math.max(DELAY.like, initial) }, [
      ...path,
      'maxSeconds',
    ]),
    ...read,
  }
}

function readDelays(delays: readonly number[], path: readonly string[]): number[] {
  if (delays.length > MOST_DELAYS) {
    const message = `At most ${MOST_DELAYS} delays are allowed; these are ${delays.length}.`
    throw wrong(path, message)
  }
  return readEach(delays, (delay, index) => readWhole(delay, DELAY, [...path, String(index)]))
}
