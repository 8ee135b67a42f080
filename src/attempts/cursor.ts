import { Mistake } from '../mistake.ts'

/**
 * A place in the feed: everything up to `position` was seen. `epoch` tells which database gave it; `atMs` is a moment no
 * later than the recording of anything after it, so that a reader need not search the days before.
 */
export type FeedCursor = { epoch: string; position: number; atMs: number }

export function writeCursor({ epoch, position, atMs }: FeedCursor): string {
  return Buffer.from(`${epoch}:${position}:${atMs}`).toString('base64url')
}

/** Reads what `writeCursor` wrote; throws a `Mistake` at `path` for anything else. */
export function readCursor(text: string, path: readonly string[]): FeedCursor {
  const [, epoch, position, atMs] =
    /^([0-9a-z]+):(\d{1,15}):(\d{1,15})$/.exec(Buffer.from(text, 'base64url').toString()) ?? []
  if (epoch === undefined) {
    const message =
      'This is not a feed cursor. Take one from feedCursor, from attempts { feedCursor }, or from a feed item.'
    throw new Mistake('INVALID_INPUT', [...path], message)
  }
  return { epoch, position: Number(position), atMs: Number(atMs) }
}
