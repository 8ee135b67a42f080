import { causesOf, codeOf } from './unavailable.ts'

// deadlock_detected and serialization_failure: Postgres has rolled the transaction back, and it may simply be run again.
const LOST = new Set(['40P01', '40001'])
const MOST_TRIES = 5

/** Runs a transaction again when Postgres chose it to give way to another one. */
export async function again<T>(transaction: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await transaction()
    } catch (error) {
      if (tries === MOST_TRIES || !hasLost(error)) throw error
    }
  }
}

const hasLost = (error: unknown) => causesOf(error).some((cause) => LOST.has(codeOf(cause)))
