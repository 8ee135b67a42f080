import type { Priorities } from '../queue/tickets.ts'
import { HIGHEST_PRIORITY, SHALLOW_PRIORITY } from './admission.ts'

/** How many tickets to claim, and of which priorities. */
export type Turn = { most: number; priorities: Priorities /** It asks for all of them. */; everybodys: boolean }

/** Whose turn it is when there is more than can be claimed. */
export type Fairness = {
  /** `free` slots, `freeForAny` of which are not kept for the first few deliveries of each endpoint. */
  next(free: number, freeForAny: number): Turn
  /** Whether a claim of all priorities left something behind. */
  saw(more: boolean): void
}

// Higher priorities go first, and under pressure they never end: so often, one of the lower ones has a claim to itself.
const FULL_CLAIMS_IN_A_ROW = 8
// With so few slots for everybody, the first few of each endpoint have every second claim to themselves, and all that is kept
// for them. Without it what hangs lets the others through by the dozen: 270 deliveries/s where 450 came, beside 2000 that hung.
const FEW_SLOTS = 32

export function createFairness(): Fairness {
  let full = 0
  let turn = 0
  let firstFewNext = true
  return {
    next(free, freeForAny) {
      const firstFew = freeForAny <= 0 || (freeForAny < FEW_SLOTS && firstFewNext)
      firstFewNext = !firstFew
      if (firstFew) return { most: free, priorities: { leastPriority: SHALLOW_PRIORITY }, everybodys: false }
      if (full < FULL_CLAIMS_IN_A_ROW) return { most: freeForAny, priorities: {}, everybodys: true }
      full = 0
      const mostPriority = HIGHEST_PRIORITY - 1 - (turn++ % HIGHEST_PRIORITY)
      return { most: freeForAny, priorities: { mostPriority }, everybodys: false }
    },
    saw(more) {
      full = more ? full + 1 : 0
    },
  }
}
