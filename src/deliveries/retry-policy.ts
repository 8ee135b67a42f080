import type { Outcome } from './outcome.ts'

export type RetryPolicy = {
  /** The wait before each further attempt, from the end of the one before; an empty list means one attempt. */
  delaysSeconds: readonly number[]
}

export type Random = () => number

/** 10 attempts over 75 h 35 m. */
export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  delaysSeconds: [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400],
}

/** Each wait is stretched or shortened by up to this share, so that what failed together does not come back together. */
const JITTER = 0.2

/** When to try again, or null when it is over. `Retry-After` is a floor, never a way to be called sooner. */
export function nextAttemptAt(
  policy: RetryPolicy,
  attempt: number,
  outcome: Pick<Outcome, 'succeeded' | 'retryAfterMs'>,
  now: Date,
  random: Random,
): Date | null {
  const seconds = delayAfter(policy, attempt)
  if (outcome.succeeded || seconds === null) return null
  const scheduledMs = seconds * 1000 * (1 - JITTER + 2 * JITTER * random())
  return new Date(now.getTime() + Math.round(Math.max(scheduledMs, outcome.retryAfterMs ?? 0)))
}

/** The wait in seconds after the attempt with this number, from 1; null when it was the last. */
function delayAfter(policy: RetryPolicy, attempt: number): number | null {
  return policy.delaysSeconds[attempt - 1] ?? null
}
