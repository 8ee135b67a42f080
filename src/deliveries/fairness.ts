import { HIGHEST_PRIORITY } from './admission.ts'

/** Whose turn it is when there is more than can be claimed. */
export type Fairness = {
  /** The priorities of the next claim. */
  next(): { mostPriority?: number }
  /** Whether a claim of all priorities left something behind. */
  saw(more: boolean): void
}

// Higher priorities go first, and under pressure they never end: so often, one of the lower ones has a claim to itself.
const FULL_CLAIMS_IN_A_ROW = 8

export function createFairness(): Fairness {
  let full = 0
  let turn = 0
  return {
    next() {
      if (full < FULL_CLAIMS_IN_A_ROW) return {}
      full = 0
      return { mostPriority: HIGHEST_PRIORITY - 1 - (turn++ % HIGHEST_PRIORITY) }
    },
    saw(more) {
      full = more ? full + 1 : 0
    },
  }
}
