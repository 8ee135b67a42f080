/** The database cannot be asked just now. What was being written may or may not have been: repeat it with the same idempotency key. */
export class Unavailable extends Error {
  readonly code = 'UNAVAILABLE'

  constructor(cause: unknown) {
    super(
      'The database is unavailable at the moment. Try again; with the same idempotency key nothing happens twice.',
      { cause },
    )
    this.name = 'Unavailable'
  }
}

/** What the mended postgres.js says when no connection of a pool became free in time. */
export const NO_CONNECTION_FREE = 'ACQUIRE_TIMEOUT'

const CONNECTION_CODES = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  NO_CONNECTION_FREE,
  // Read only: what was the primary is a standby now.
  '25006',
  // No such database: it is being restored.
  '3D000',
  '58030',
])

/** Whether there is no partition for a row: of the day that its id tells. They are made within a second or two. */
export function lacksPartition(error: unknown): boolean {
  const { code, routine } = error as { code?: unknown; routine?: unknown }
  return code === '23514' && routine === 'ExecFindPartition'
}

/**
 * Whether an error means that the session or the server went away, so that the fate of an open transaction is unknown; or
 * that the database has no room yet for the day that it is.
 * SQLSTATE classes: 08 connection exceptions, 28 not let in (a password that was changed), 57P operator intervention (shutdown,
 * terminated backend), 53 out of resources (disk full), 58030 an error of the disk.
 */
export function isUnavailable(error: unknown): boolean {
  return causesOf(error).some(
    (cause) =>
      cause instanceof Unavailable ||
      CONNECTION_CODES.has(codeOf(cause)) ||
      lacksPartition(cause) ||
      /^(08|28|57P|53)/.test(codeOf(cause)),
  )
}

/**
 * Whether the same may go well a moment later: also after deadlocks (40P01), serialisation failures (40001), and timeouts of
 * statements (57014), locks (55P03) and idle transactions (25P03).
 */
export function isTransient(error: unknown): boolean {
  return (
    isUnavailable(error) || causesOf(error).some((cause) => /^(40001|40P01|57014|55P03|25P03)$/.test(codeOf(cause)))
  )
}

/** Drizzle wraps what the driver throws. */
export function causesOf(error: unknown): Error[] {
  const causes: Error[] = []
  for (let cause = error; cause instanceof Error; cause = cause.cause) causes.push(cause)
  return causes
}

/** The SQLSTATE of an error of the database, or the code of one of the connection; empty when it has none. */
export function codeOf(error: Error): string {
  return String((error as { code?: unknown }).code ?? '')
}

/** Whether somebody else kept a lock for longer than the transaction was willing to wait. */
export function isLockTimeout(error: unknown): boolean {
  return (error as { code?: unknown }).code === '55P03'
}
