import { publicId, type ReplayId } from '../../schema/ids.ts'
import type { Log } from '../log.ts'
import { Mistake } from '../mistake.ts'
import type { Db } from '../postgres/client.ts'
import type { Wake } from '../queue/wake.ts'
import type { Reach } from '../tenants/access.ts'
import { findReplays, type Replay } from './find.ts'

export type ReplayProgressContext = { db: Pick<Db, 'orm'>; wake: Pick<Wake, 'on'>; log: Log }

export type ReplayProgress = {
  /** A replay as it is, then as it becomes, until it has ended. Throws `Mistake` at `id` when there is none. */
  follow(reach: Reach, id: ReplayId): Promise<AsyncIterableIterator<Replay>>
  followers(): number
  close(): void
}

// The truth behind the wake-ups, asked only while somebody follows.
const POLL_MS = 1000
// A replay changes 25 times in a second: nobody needs to see each.
const LEAST_PAUSE_MS = 200

type Follower = { id: ReplayId; offer(replay: Replay): void; end(): void; iterator: AsyncIterableIterator<Replay> }

/** Reads replays that somebody follows, for all followers of this process at once. */
export function createReplayProgress({ db, wake, log }: ReplayProgressContext): ReplayProgress {
  const followers = new Set<Follower>()
  let timer: NodeJS.Timeout | null = null

  const read = async () => {
    const ids = [...new Set([...followers].map(({ id }) => id))]
    if (ids.length === 0) return
    for (const replay of await findReplays(db.orm, 'every', ids)) {
      for (const follower of followers) if (follower.id === replay.id) follower.offer(replay)
    }
  }
  const look = () => {
    if (timer !== null || followers.size === 0) return
    timer = setTimeout(() => {
      timer = null
      read().catch((err) => log.debug({ err }, 'Replays could not be read; trying again'))
    }, LEAST_PAUSE_MS)
  }
  const stopListening = wake.on('replay-progress', look)
  const poll = setInterval(look, POLL_MS)

  return {
    async follow(reach, id) {
      const follower = createFollower(id, () => followers.delete(follower))
      // Before it is read: what changes in between is seen.
      followers.add(follower)
      const [replay] = await findReplays(db.orm, reach, [id]).catch((error) => {
        follower.end()
        throw error
      })
      if (!replay) {
        follower.end()
        throw new Mistake('NOT_FOUND', ['id'], `There is no replay ${publicId('rpl', id)}.`)
      }
      follower.offer(replay)
      return follower.iterator
    },
    followers: () => followers.size,
    close() {
      stopListening()
      clearInterval(poll)
      if (timer) clearTimeout(timer)
      for (const follower of followers) follower.end()
    },
  }
}

const DONE: IteratorReturnResult<undefined> = { value: undefined, done: true }

/** Keeps the newest state until it is asked for: a slow reader misses what was in between, and nothing piles up. */
function createFollower(id: ReplayId, onEnd: () => void): Follower {
  let newest: Replay | null = null
  let seen = ''
  let ended = false
  let waiter: PromiseWithResolvers<IteratorResult<Replay>> | null = null

  const give = (): IteratorResult<Replay> | null => {
    if (newest === null) return ended ? DONE : null
    const value = newest
    newest = null
    return { value, done: false }
  }
  const answer = () => {
    const result = waiter && give()
    if (!result) return
    waiter?.resolve(result)
    waiter = null
  }
  const end = () => {
    if (!ended) onEnd()
    ended = true
    answer()
  }
  const next = () => {
    const result = give()
    if (result) return result
    waiter = Promise.withResolvers()
    return waiter.promise
  }
  const leave = () => {
    newest = null
    end()
  }

  return {
    id,
    offer(replay) {
      if (ended) return
      const { nextTurnAt, ...visible } = replay
      const state = JSON.stringify(visible)
      if (state !== seen) newest = replay
      seen = state
      answer()
      if (nextTurnAt === null) end()
    },
    end,
    iterator: createIterator(next, leave),
  }
}

/** A plain object, not a generator: a generator that waits cannot be ended from outside. */
function createIterator(
  next: () => IteratorResult<Replay> | Promise<IteratorResult<Replay>>,
  leave: () => void,
): AsyncIterableIterator<Replay> {
  let before: Promise<unknown> = Promise.resolve()
  return {
    // One at a time, whatever the caller does.
    next() {
      const result = before.then(next)
      before = result
      return result
    },
    async return() {
      leave()
      return DONE
    },
    async throw() {
      leave()
      return DONE
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
