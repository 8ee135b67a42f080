/**
 * Waits for statements of one transaction that were sent together; also when one of them fails. A statement that is sent
 * only after the transaction has been rolled back would run for itself, outside of it.
 */
export async function together<T extends readonly unknown[] | []>(
  statements: T,
): Promise<{ -readonly [Index in keyof T]: Awaited<T[Index]> }> {
  try {
    return await Promise.all(statements)
  } catch (error) {
    await Promise.allSettled(statements)
    throw error
  }
}
