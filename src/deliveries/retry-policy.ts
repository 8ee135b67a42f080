import type { StoredRetryPolicy } from '../../schema/tables/endpoints.ts'
import { delaysOf, JITTER } from '../endpoints/retry-schedule.ts'
import type { Outcome } from './outcome.ts'

/** When failed attempts are repeated: a list of waits, waits that grow, or always the same wait. */
export type RetryPolicy = StoredRetryPolicy

export type Random = () => number

/** 10 attempts over 75 h 35 m. */
export const DEFAULT_RETRY_POLICY = {
  delaysSeconds: [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400],
} satisfies RetryPolicy

/** When to try again, or null when it is over. `Retry-After` is a floor, never a way to be called sooner. */
export function nextAttemptAt(
  policy: RetryPolicy,
  attempt: number,
  outcome: Pick<Outcome, 'succeeded' | 'retryAfterMs'>,
  now: Date,
  random: Random,
): Date | null {
  const seconds = delaysOf(policy)[attempt - 1]
  if (outcome.succeeded || seconds === undefined) return null
  const scheduledMs = seconds * 1000 * (1 - JITTER + 2 * JITTER * random())
  return new Date(now.getTime() + Math.round(Math.max(scheduledMs, outcome.retryAfterMs ?? 0)))
}

/**
 * The attempts still to come if all of them fail, without jitter: the next one at `nextAt`, each further one its wait after
 * the one before.
 */
export function plannedAttempts(policy: RetryPolicy, scheduledAttemptsMade: number, nextAt: Date): Date[] {
  const planned = [nextAt]
  let at = nextAt.getTime()
  for (const seconds of delaysOf(policy).slice(scheduledAttemptsMade)) {
    at += seconds * 1000
    planned.push(new Date(at))
  }
  return planned
}
