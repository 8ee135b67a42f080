import type { AttemptTrigger, DeliveryState, DisabledReason, StoredWait } from '../../schema/states.ts'
import type { Outcome } from './outcome.ts'
import { nextAttemptAt, type RetryPolicy } from './retry-policy.ts'

/** What an attempt's delivery was when the attempt was made. */
export type Tried = {
  state: DeliveryState
  trigger: AttemptTrigger
  /** It is under way for a replay. */
  replayed: boolean
  scheduledAttemptsMade: number
  nextAttemptAt: Date | null
}

/** What becomes of a delivery after an attempt. */
export type Settlement = {
  state: DeliveryState
  waitingFor: StoredWait | null
  nextAttemptAt: Date | null
  scheduled: boolean
  /** Why its endpoint is disabled with it. */
  disables: DisabledReason | null
}

/**
 * The schedule's own attempts move the delivery along its schedule. An attempt by hand stands beside it: its success
 * delivers from any state, its failure leaves state and schedule as they were. So does a replay's of a delivered one; what it
 * has reopened goes along its schedule again. A test is one attempt and nothing else: it
 * says how the endpoint is, and changes nothing about it.
 */
export function settlementOf(
  tried: Tried,
  outcome: Outcome,
  policy: RetryPolicy,
  now: Date,
  random: () => number,
): Settlement {
  const scheduled = tried.trigger === 'SCHEDULE' || (tried.trigger === 'REPLAY' && tried.state === 'PENDING')
  const disables = outcome.gone && tried.trigger !== 'TEST' ? ('GONE' as const) : null
  const over = { waitingFor: null, nextAttemptAt: null, scheduled, disables }
  if (outcome.succeeded) return { ...over, state: 'DELIVERED' }
  if (tried.trigger === 'TEST') return { ...over, state: 'FAILED' }
  if (!scheduled) return { ...asItWas(tried), scheduled, disables }
  const next = nextAttemptAt(policy, tried.scheduledAttemptsMade + 1, outcome, now, random)
  if (next === null) return { ...over, state: 'FAILED' }
  return { state: 'PENDING', waitingFor: 'RETRY', nextAttemptAt: next, scheduled, disables }
}

function asItWas({
  state,
  replayed,
  nextAttemptAt,
}: Tried): Pick<Settlement, 'state' | 'waitingFor' | 'nextAttemptAt'> {
  if (state !== 'PENDING') return { state, waitingFor: null, nextAttemptAt: null }
  if (nextAttemptAt !== null) return { state, waitingFor: 'RETRY', nextAttemptAt }
  return { state, waitingFor: replayed ? 'REPLAY' : 'ALLOWANCE', nextAttemptAt }
}
