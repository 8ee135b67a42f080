const EVERY_MS = 10

/** Repeats an assertion until it holds and returns what it returned; at the deadline it fails as the assertion does. */
export async function eventually<T>(assertion: () => T | Promise<T>, deadlineMs = 5000): Promise<T> {
  const deadline = performance.now() + deadlineMs
  for (;;) {
    try {
      return await assertion()
    } catch (error) {
      if (performance.now() >= deadline) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS))
  }
}
