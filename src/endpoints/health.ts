import type { DisabledReason, EndpointHealth } from '../../schema/states.ts'

/** When failures become a state of the endpoint. Configurable: POSTRIDER_FAILING_AFTER_SECONDS and its siblings. */
export type HealthRules = {
  /** Nothing but failures for so long: FAILING. */
  failingAfterSeconds: number
  /** Nothing but failures for so long, and at least `disableAfterAttempts` of them: DISABLED. */
  disableAfterSeconds: number
  disableAfterAttempts: number
}

/** What an endpoint has been answering. */
export type Health = {
  health: EndpointHealth
  /** When the first of nothing but failures ended; null when the last attempt succeeded. */
  failingSince: Date | null
  /** How many they are. Counted as far as the rules ask, no further. */
  failedAttempts: number
}

/** What changed about an endpoint, as it is announced. */
export type HealthChange = 'FAILING' | 'RECOVERED' | 'DISABLED'

export type Diagnosis = Health & { change: HealthChange | null; disables: DisabledReason | null }

/**
 * What some attempts say about an endpoint, `true` for success, in the order in which they ended. One success ends all
 * failures before it; an endpoint without failures is left as it is.
 */
export function diagnose(before: Health, attempts: readonly boolean[], now: Date, rules: HealthRules): Diagnosis {
  const lastSuccess = attempts.lastIndexOf(true)
  const failures = attempts.length - 1 - lastSuccess
  const recovered = lastSuccess !== -1
  const failingSince = recovered ? null : before.failingSince
  const counted = (recovered ? 0 : before.failedAttempts) + failures
  const streak = {
    failingSince: failures > 0 ? (failingSince ?? now) : failingSince,
    failedAttempts: Math.min(counted, rules.disableAfterAttempts),
  }
  const lasted = streak.failingSince === null ? 0 : (now.getTime() - streak.failingSince.getTime()) / 1000
  const failing = failures > 0 && lasted >= rules.failingAfterSeconds
  const health = failing ? 'FAILING' : recovered ? 'HEALTHY' : before.health
  if (failures > 0 && lasted >= rules.disableAfterSeconds && counted >= rules.disableAfterAttempts) {
    return { ...streak, health: 'FAILING', change: 'DISABLED', disables: 'FAILING' }
  }
  if (health === before.health) return { ...streak, health, change: null, disables: null }
  return { ...streak, health, change: health === 'FAILING' ? 'FAILING' : 'RECOVERED', disables: null }
}
