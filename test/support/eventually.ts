const FIRST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 100
const GROWTH = 1.3

/** Repeats an assertion until it holds and returns what it returned; at the deadline it fails as the assertion does. */
export async function eventually<T>(assertion: () => T | Promise<T>, deadlineMs = 5000): Promise<T> {
  const deadline = performance.now() + deadlineMs
  // The longer it takes, the rarer: many assertions read whole tables in the event loop that they wait for.
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * GROWTH)) {
    try {
      return await assertion()
    } catch (error) {
      if (performance.now() >= deadline) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}
