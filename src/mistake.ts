import type { ErrorCode } from '../schema/error-codes.ts'

/**
 * The caller's mistake: what was wrong, where, and what to do about it. It becomes a user error in a payload, or the
 * top-level error INVALID_INPUT where there is none. Nothing was changed when it is thrown.
 */
export class Mistake extends Error {
  readonly code: ErrorCode
  /** Where in the input, from its root: `['input', 'url']`. */
  readonly path: string[]

  constructor(code: ErrorCode, path: string[], message: string) {
    super(message)
    this.name = 'Mistake'
    this.code = code
    this.path = path
  }
}
