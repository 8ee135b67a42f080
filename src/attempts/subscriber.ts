import { timeOf } from '../../schema/ids.ts'
import type { Reach } from '../tenants/access.ts'
import type { Place } from './cursor.ts'
import { type AttemptFilter, matches } from './filter.ts'
import type { Attempt } from './find.ts'

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
  from: Place
  gap: FeedGapReason | null
  /** A place as the subscriber is told it. */
  write(place: Place): string
  /** Where the reader stands now. */
  head(): Place
  /** The attempts this subscriber wants after a place, up to and with `upTo`, at most a page. */
  page(after: Place, upTo: number, most: number): Promise<Attempt[]>
  /** Up to where attempts were dropped. */
  dropped(): Promise<number>
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
export function createSubscriber(options: SubscriberOptions): Subscriber {
  const { reach, filter, from, gap, write, head, onEnd } = options
  const past = createPast(options)
  const hands = createHands(write(from))
  const queue: Attempt[] = []
  const ready: FeedItem[] = gap ? [{ kind: 'gap', cursor: hands.cursor(), reason: gap }] : []
  const itemOf = (attempt: Attempt): FeedItem => {
    const cursor = write({ position: attempt.position, atMs: timeOf(attempt.id) })
    return { kind: 'attempt', cursor, attempt }
  }
  const end = (error?: Error) => {
    if (!hands.close(error)) return
    queue.length = 0
    onEnd()
  }

  const next = async (): Promise<IteratorResult<FeedItem>> => {
    for (;;) {
      const item = hands.closed() ? undefined : ready.shift()
      if (item) return hands.give(item)
      if (hands.closed()) return hands.last()
      if (!past.isOver()) {
        const { attempts, missing } = await past.read()
        if (missing) ready.push({ kind: 'gap', cursor: hands.cursor(), reason: 'RETENTION' })
        ready.push(...attempts.map(itemOf))
        continue
      }
      const attempt = queue.shift()
      return attempt ? hands.give(itemOf(attempt)) : hands.wait()
    }
  }

  return {
    offer(attempts) {
      const attachedAt = past.attachedAt()
      if (hands.closed() || attachedAt === null) return
      for (const attempt of attempts) {
        if (attempt.position <= attachedAt || !wanted(reach, filter, attempt)) continue
        if (hands.waiting()) hands.give(itemOf(attempt))
        else queue.push(attempt)
      }
      if (queue.length > MOST_QUEUED) end(new FeedOverflow(hands.cursor()))
    },
    heartbeat(at) {
      if (!hands.waiting()) return
      // Whoever waits has everything up to where the reader stands, and up to its own cursor, which may have been ahead.
      const position = Math.max(head().position, past.attachedAt() ?? 0)
      hands.give({ kind: 'heartbeat', cursor: write({ ...head(), position }), at })
    },
    end,
    iterator: createIterator(next, end),
  }
}

/** What was recorded before the subscriber began to listen, read up to where its queue takes over. */
function createPast({
  from,
  gap,
  head,
  page,
  dropped,
}: Pick<SubscriberOptions, 'from' | 'gap' | 'head' | 'page' | 'dropped'>) {
  let place = from
  // Up to where the subscriber knows what it missed.
  let known: number | null = gap === null ? from.position : null
  let attachedAt: number | null = null
  let over = false
  return {
    attachedAt: () => attachedAt,
    isOver: () => over,
    /** `missing`: something of it was dropped before it could be read. */
    async read(): Promise<{ attempts: Attempt[]; missing: boolean }> {
      // The cursor may be ahead of the reader; what it has seen must not come again.
      if (attachedAt === null && head().position - place.position <= CLOSE) {
        attachedAt = Math.max(head().position, place.position)
      }
      const upTo = attachedAt ?? head().position
      const read = upTo > place.position ? await page(place, upTo, PAGE) : []
      // Asked after the page was read: a day may have been dropped in between.
      const gone = upTo > place.position ? await dropped() : 0
      known ??= gone
      const missing = gone > Math.max(known, place.position)
      known = Math.max(known, gone)
      const whole = read.length < PAGE
      place = { ...place, position: whole ? upTo : (read.at(-1)?.position ?? upTo) }
      over = whole && attachedAt === upTo
      return { attempts: read, missing }
    },
  }
}

/** Hands items over: to a call that waits, or as the answer to the one being made. Knows the cursor of the last one. */
function createHands(begin: string) {
  let cursor = begin
  let closed = false
  let failure: Error | null = null
  let waiter: PromiseWithResolvers<IteratorResult<FeedItem>> | null = null
  return {
    cursor: () => cursor,
    closed: () => closed,
    waiting: () => waiter !== null,
    wait() {
      waiter = Promise.withResolvers()
      return waiter.promise
    },
    give(item: FeedItem): IteratorResult<FeedItem> {
      cursor = item.cursor
      const result = { value: item, done: false as const }
      waiter?.resolve(result)
      waiter = null
      return result
    },
    /** Ends it for good; false when it was ended before. */
    close(error?: Error): boolean {
      if (closed) return false
      closed = true
      if (waiter && error) waiter.reject(error)
      else if (waiter) waiter.resolve(DONE)
      else failure = error ?? null
      waiter = null
      return true
    },
    /** What a call gets after the end: the failure once, if there was one. */
    last(): IteratorResult<FeedItem> {
      const error = failure
      failure = null
      if (error) throw error
      return DONE
    },
  }
}

const DONE: IteratorReturnResult<undefined> = { value: undefined, done: true }

function createIterator(
  next: () => Promise<IteratorResult<FeedItem>>,
  end: () => void,
): AsyncIterableIterator<FeedItem> {
  let before: Promise<unknown> = Promise.resolve()
  return {
    // One at a time, whatever the caller does.
    next() {
      const result = before.then(next).catch((error) => {
        end()
        throw error
      })
      before = result.catch(() => {})
      return result
    },
    async return() {
      end()
      return DONE
    },
    async throw() {
      end()
      return DONE
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

function wanted(reach: Reach, filter: AttemptFilter, attempt: Attempt): boolean {
  return (reach === 'every' || attempt.tenantId === reach) && matches(filter, attempt)
}
