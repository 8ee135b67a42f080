import type { AttemptErrorClass } from '../../schema/outcomes.ts'
import type { AllowanceReason } from '../../schema/states.ts'

/** How many requests an endpoint is given at a time, when that is fewer than its `maxInFlight`. */
export type Allowed = { allowance: number; reason: AllowanceReason }

/** What an attempt says about how much its endpoint can take. */
export type Load = {
  succeeded: boolean
  status: number | null
  errorClass: AttemptErrorClass | null
  durationMs: number
  timeoutSeconds: number
}

/** Changes are this far apart, so that what is measured after one is its effect. */
export const PACING_INTERVAL_MS = 1000

/**
 * What an endpoint is given at a time after these attempts; null is all of its `maxInFlight`. Halved when it pushes back,
 * doubled when it does not: within seconds it has as few, and as many again, as it can take. A single endpoint's own affair:
 * it is not for its neighbours to notice, so nothing here is about the schedule.
 */
export function paceAfter(before: Allowed | null, maxInFlight: number, loads: readonly Load[]): Allowed | null {
  const present = Math.min(before?.allowance ?? maxInFlight, maxInFlight)
  const reason = reasonToSlowDown(loads)
  if (reason !== null) {
    // One that is always slow would otherwise end at one at a time, and never be asked again how it takes two.
    const least = reason === 'SLOW' ? Math.min(present, Math.ceil(maxInFlight / 4)) : 1
    return { allowance: Math.max(least, Math.floor(present / 2)), reason }
  }
  if (before === null || !loads.some(({ succeeded }) => succeeded)) return before
  return present * 2 >= maxInFlight ? null : { ...before, allowance: present * 2 }
}

// wire.md, "Response": the endpoint, or the proxy before it, says that it is too much.
const PUSHBACK = new Set([429, 502, 503, 504])
const OVERLOADED: ReadonlySet<AttemptErrorClass | null> = new Set<AttemptErrorClass | null>([
  'TIMEOUT',
  'CONNECT_TIMEOUT',
  'CONNECT_REFUSED',
  'RESET',
])

function reasonToSlowDown(loads: readonly Load[]): AllowanceReason | null {
  if (loads.some(({ status }) => status !== null && PUSHBACK.has(status))) return 'PUSHBACK'
  // One event that its receiver cannot digest fails among many that are well: no reason to slow them all down.
  if (moreThanHalf(loads, isFailing)) return 'FAILING'
  return moreThanHalf(loads, isSlow) ? 'SLOW' : null
}

function isFailing({ status, errorClass }: Load): boolean {
  return status !== null ? status >= 500 && status <= 599 : OVERLOADED.has(errorClass)
}

/** So near its timeout that a little more load would make it fail. */
function isSlow({ succeeded, durationMs, timeoutSeconds }: Load): boolean {
  return succeeded && durationMs > timeoutSeconds * 500
}

function moreThanHalf(loads: readonly Load[], holds: (load: Load) => boolean): boolean {
  return loads.filter(holds).length * 2 > loads.length
}
