import type { AttemptTrigger, DeliveryState, StoredWait } from '../../schema/states.ts'
import type { Outcome } from './outcome.ts'
import { nextAttemptAt, type RetryPolicy } from './retry-policy.ts'

/** What an attempt's delivery was when the attempt was made. */
export type Tried = {
  state: DeliveryState
  trigger: AttemptTrigger
  scheduledAttemptsMade: number
  nextAttemptAt: Date | null
}

/** What becomes of a delivery after an attempt. */
export type Settlement = {
  state: DeliveryState
  waitingFor: StoredWait | null
  nextAttemptAt: Date | null
  scheduled: boolean
}

/**
 * The schedule's own attempts move the delivery along its schedule. An attempt by hand stands beside it: its success
 * delivers from any state, its failure leaves state and schedule as they were.
 */
export function settlementOf(
  tried: Tried,
  outcome: Outcome,
  policy: RetryPolicy,
  now: Date,
  random: () => number,
): Settlement {
  const scheduled = tried.trigger === 'SCHEDULE'
  if (outcome.succeeded) return { state: 'DELIVERED', waitingFor: null, nextAttemptAt: null, scheduled }
  if (!scheduled) return { ...asItWas(tried), scheduled }
  const next = nextAttemptAt(policy, tried.scheduledAttemptsMade + 1, outcome, now, random)
  return next === null
    ? { state: 'FAILED', waitingFor: null, nextAttemptAt: null, scheduled }
    : { state: 'PENDING', waitingFor: 'RETRY', nextAttemptAt: next, scheduled }
}

function asItWas({ state, nextAttemptAt }: Tried): Omit<Settlement, 'scheduled'> {
  if (state !== 'PENDING') return { state, waitingFor: null, nextAttemptAt: null }
  return { state, waitingFor: nextAttemptAt === null ? 'ALLOWANCE' : 'RETRY', nextAttemptAt }
}
