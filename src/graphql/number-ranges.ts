import { STATUS } from '../attempts/filter.ts'
import { MAX_IN_FLIGHT, RATE, TIMEOUT } from '../endpoints/input.ts'
import { ATTEMPTS, DELAY, FACTOR } from '../endpoints/retry-schedule.ts'
import { OVERLAP } from '../endpoints/rotate-secret.ts'
import type { NumberRange } from '../input.ts'
import { PAGE_SIZE } from '../postgres/keyset.ts'
import { LIFETIME } from '../tenants/portal-sessions.ts'

/** What the numbers of the API may be, by the argument or input field that takes them: a name means the same everywhere. */
export const NUMBER_RANGES: Readonly<Record<string, NumberRange>> = {
  first: PAGE_SIZE,
  last: PAGE_SIZE,
  timeoutSeconds: TIMEOUT,
  maxInFlight: MAX_IN_FLIGHT,
  ratePerSecond: RATE,
  delaysSeconds: DELAY,
  initialSeconds: DELAY,
  intervalSeconds: DELAY,
  maxSeconds: DELAY,
  factor: FACTOR,
  attempts: ATTEMPTS,
  overlapSeconds: OVERLAP,
  expiresInSeconds: LIFETIME,
  statusCodes: STATUS,
}

/** The range of the number at a place of the input, which may be an entry of a list. */
export function rangeAt(path: readonly (string | number)[]): NumberRange | null {
  const name = path.findLast((part) => !/^\d+$/.test(String(part))) ?? ''
  return Object.hasOwn(NUMBER_RANGES, name) ? (NUMBER_RANGES[name] as NumberRange) : null
}
