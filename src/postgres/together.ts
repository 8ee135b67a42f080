/**
 * Waits for statements of one transaction that were sent together; also when one of them fails. A statement that is sent
 * only after the transaction has been rolled back would run for itself, outside of it.
 *
 * They arrive in the order in which they were sent, so a lock taken by the first holds for the others: as long as each call
 * sends its statement before it awaits anything. What goes through the queue does not, and must not be relied on for order.
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
