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

/** Drizzle wraps what the driver throws. */
function hasLost(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && LOST.has(String(cause.code))) return true
  }
  return false
}
