import type { AttemptErrorClass } from '../../schema/outcomes.ts'
import type { AttemptTrigger, DisabledReason } from '../../schema/states.ts'
import type { Condition } from '../endpoints/condition.ts'
import { diagnose, type HealthChange, type HealthRules } from '../endpoints/health.ts'
import { type Load, PACING_INTERVAL_MS, paceAfter } from './pacing.ts'

/** What an attempt tells about its endpoint. */
export type Evidence = Load & {
  trigger: AttemptTrigger
  url: string
  /** Why its settlement disables the endpoint. */
  disables: DisabledReason | null
}

export type Judgement = { after: Condition; change: HealthChange | null }

/**
 * What some attempts, in the order in which they ended, change about their endpoint. Attempts at a URL that it had before
 * say nothing about the present one.
 */
export function judge(before: Condition, attempts: readonly Evidence[], now: Date, rules: HealthRules): Judgement {
  const present = attempts.filter(({ url }) => url === before.url)
  const telling = present.filter(tellsOfEndpoint)
  // What a replay sends is no news: it must neither raise an alarm nor end one.
  const outcomes = telling.filter(({ trigger }) => trigger !== 'REPLAY').map(({ succeeded }) => succeeded)
  const { change, disables, ...health } = diagnose(before, outcomes, now, rules)
  const reason = present.find(({ disables }) => disables !== null)?.disables ?? disables
  const after: Condition = { ...before, ...health, ...paced(before, telling, now) }
  if (reason === null) return { after, change }
  // Disabled already, by those who answered before: that was announced.
  if (before.state === 'DISABLED') return { after, change: change === 'DISABLED' ? null : change }
  return { after: { ...after, state: 'DISABLED', disabledReason: reason }, change: 'DISABLED' }
}

const OURS: ReadonlySet<AttemptErrorClass | null> = new Set<AttemptErrorClass | null>(['PROXY', 'INTERNAL'])

/** A test has no consequences, and what failed on our side is not the endpoint's fault. */
function tellsOfEndpoint({ trigger, errorClass }: Evidence): boolean {
  return trigger !== 'TEST' && !OURS.has(errorClass)
}

function paced(
  before: Condition,
  attempts: readonly Evidence[],
  now: Date,
): Pick<Condition, 'allowance' | 'allowanceReason' | 'allowanceChangedAt'> {
  const { allowance, allowanceReason, allowanceChangedAt, maxInFlight } = before
  const unchanged = { allowance, allowanceReason, allowanceChangedAt }
  const settling = allowanceChangedAt !== null && now.getTime() - allowanceChangedAt.getTime() < PACING_INTERVAL_MS
  if (settling || attempts.length === 0) return unchanged
  const pace = allowance === null || allowanceReason === null ? null : { allowance, reason: allowanceReason }
  const next = paceAfter(pace, maxInFlight, attempts)
  if (next?.allowance === pace?.allowance && next?.reason === pace?.reason) return unchanged
  return { allowance: next?.allowance ?? null, allowanceReason: next?.reason ?? null, allowanceChangedAt: now }
}
