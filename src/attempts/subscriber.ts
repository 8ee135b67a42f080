import { timeOf } from '../../schema/ids.ts'
import type { attempts } from '../../schema/tables/attempts.ts'
import type { Reach } from '../tenants/access.ts'
import { type FeedCursor, writeCursor } from './cursor.ts'
import { type AttemptFilter, matches } from './filter.ts'

export type Attempt = typeof attempts.$inferSelect
export type FeedGapReason = 'RETENTION' | 'FOREIGN_CURSOR'
export type FeedItem =
  | { kind: 'attempt'; cursor: string; attempt: Attempt }
  | { kind: 'gap'; cursor: string; reason: FeedGapReason }
  | { kind: 'heartbeat'; cursor: string; at: Date }

/** A subscriber took its items more slowly than they came. It may subscribe again with `cursor` and will miss nothing. */
export class FeedOverflow extends Error {
  readonly code = 'FEED_OVERFLOW'
  readonly cursor: string

  constructor(cursor: string) {
    super(
      'This subscriber reads more slowly than attempts are recorded. Subscribe again with `after` set to the cursor.',
    )
    this.name = 'FeedOverflow'
    this.cursor = cursor
  }
}

/** One subscription as the reader sees it. */
export type Subscriber = {
  /** New attempts, in order of position. */
  offer(attempts: readonly Attempt[]): void
  heartbeat(at: Date): void
  end(error?: Error): void
  iterator: AsyncIterableIterator<FeedItem>
}

export type SubscriberOptions = {
  reach: Reach
  filter: AttemptFilter
  from: FeedCursor
  gap: FeedGapReason | null
  /** Where the reader stands now. */
  head(): { position: number; atMs: number }
  /** The attempts this subscriber wants after a place, up to and with `upTo`, at most a page. */
  page(after: FeedCursor, upTo: number, most: number): Promise<Attempt[]>
  onEnd(): void
}

const MOST_QUEUED = 1000
const PAGE = 200
// So close to the reader that what comes meanwhile fits the queue: the rest of the past is read while the queue fills.
const CLOSE = 500

/**
 * First the past in pages, then the present from a bounded queue. The queue is attached before the last of the past is
 * read, so nothing falls in between. A plain object, not a generator: a generator that waits cannot be ended from outside.
 */
export function createSubscriber({ reach, filter, from, gap, head, page, onEnd }: SubscriberOptions): Subscriber {
  const queue: Attempt[] = []
  const ready: FeedItem[] = []
  /** Up to where the past was read. */
  let place: FeedCursor = from
  /** Up to where items were handed out: with it a client that comes back misses nothing. */
  let cursor = writeCursor(from)
  let attachedAt: number | null = null
  let live = false
  let ended = false
  let failure: Error | null = null
  let waiter: ((result: IteratorResult<FeedItem>) => void) | null = null
  let fail: ((error: Error) => void) | null = null
  let last: Promise<unknown> = Promise.resolve()

  const itemOf = (attempt: Attempt): FeedItem => {
    const own = writeCursor({ epoch: from.epoch, position: attempt.position, atMs: timeOf(attempt.id) })
    return { kind: 'attempt', cursor: own, attempt }
  }
  if (gap) ready.push({ kind: 'gap', cursor, reason: gap })

  /** Reads on in the past; at its end the subscriber is live. */
  const catchUp = async () => {
    // The cursor may be ahead of the reader; what it has seen must not come again.
    if (attachedAt === null && head().position - place.position <= CLOSE)
      attachedAt = Math.max(head().position, place.position)
    const upTo = attachedAt ?? head().position
    const read = upTo > place.position ? await page(place, upTo, PAGE) : []
    ready.push(...read.map(itemOf))
    const whole = read.length < PAGE
    place = { ...place, position: whole ? upTo : (read.at(-1)?.position ?? upTo) }
    live = whole && attachedAt === upTo
  }

  const end = (error?: Error) => {
    if (ended) return
    ended = true
    failure = error ?? null
    queue.length = 0
    onEnd()
    if (failure && fail) fail(failure)
    else waiter?.({ value: undefined, done: true })
    waiter = fail = null
  }

  const handOut = (item: FeedItem): IteratorResult<FeedItem> => {
    cursor = item.cursor
    return { value: item, done: false }
  }

  const nextItem = async (): Promise<IteratorResult<FeedItem>> => {
    for (;;) {
      const item = ended ? undefined : ready.shift()
      if (item) return handOut(item)
      if (failure) {
        const error = failure
        failure = null
        throw error
      }
      if (ended) return { value: undefined, done: true }
      if (!live) {
        await catchUp()
        continue
      }
      const attempt = queue.shift()
      if (attempt) return handOut(itemOf(attempt))
      return new Promise((resolve, reject) => {
        waiter = resolve
        fail = reject
      })
    }
  }

  const hand = (item: FeedItem) => {
    const resolve = waiter
    waiter = fail = null
    resolve?.(handOut(item))
  }

  return {
    offer(attempts) {
      if (ended || attachedAt === null) return
      for (const attempt of attempts) {
        if (attempt.position <= attachedAt || !wanted(reach, filter, attempt)) continue
        if (waiter) hand(itemOf(attempt))
        else queue.push(attempt)
      }
      if (queue.length > MOST_QUEUED) end(new FeedOverflow(cursor))
    },
    heartbeat(at) {
      // Whoever waits has everything up to where the reader stands.
      if (waiter) hand({ kind: 'heartbeat', cursor: writeCursor({ epoch: from.epoch, ...head() }), at })
    },
    end,
    iterator: {
      next() {
        const result = last.then(nextItem).catch((error) => {
          end()
          throw error
        })
        last = result.catch(() => {})
        return result
      },
      async return() {
        end()
        return { value: undefined, done: true }
      },
      async throw() {
        end()
        return { value: undefined, done: true }
      },
      [Symbol.asyncIterator]() {
        return this
      },
    },
  }
}

function wanted(reach: Reach, filter: AttemptFilter, attempt: Attempt): boolean {
  return (reach === 'every' || attempt.tenantId === reach) && matches(filter, attempt)
}
