import type { EndpointState } from '../../schema/states.ts'

/**
 * Admission: who gets a ticket. An endpoint has at most `maxInFlight` living tickets in all processes together, and that
 * is what bounds its requests in flight. Everything else waits as a row and costs nobody anything.
 */
export type Allowance = {
  state: EndpointState
  deleted: boolean
  maxInFlight: number
  /** How many of its deliveries have a ticket now. */
  ticketed: number
  /** More waits already: newcomers queue behind it. */
  backlog: boolean
}

export type Admission = { admitted: number; backlog: boolean }

/** How many of `arriving` deliveries get a ticket at once, and whether the endpoint is in backlog afterwards. */
export function admit(allowance: Allowance, arriving: number): Admission {
  if (allowance.backlog) return { admitted: 0, backlog: true }
  const admitted = Math.min(arriving, roomOf(allowance))
  return { admitted, backlog: admitted < arriving }
}

/** How many more tickets an endpoint may have. */
export function roomOf({ state, deleted, maxInFlight, ticketed }: Allowance): number {
  return state === 'ACTIVE' && !deleted ? Math.max(0, maxInFlight - ticketed) : 0
}

/** The first tickets of an endpoint go before everybody's later ones: a hanging endpoint's twentieth never delays another's first. */
const SHALLOW = 2

export const SHALLOW_PRIORITY = 2

/** A ticket's priority: the endpoint's first few before deeper ones; among equals first attempts before retries. */
export function priorityOf(depth: number, firstAttempt: boolean): number {
  return (depth < SHALLOW ? SHALLOW_PRIORITY : 0) + (firstAttempt ? 1 : 0)
}
