import type { Log } from '../log.ts'
import type { Clock } from '../postgres/clock.ts'
import type { Wake } from '../queue/wake.ts'
import type { Viewer } from './access.ts'
import type { Living } from './living.ts'

/** Tells when API keys and portal sessions that are in use end: revoked, expired, or gone with their tenant. */
export type CallerWatch = {
  /** Calls `ended`, once, when the key or portal session opens nothing any more. Returns how to stop watching. */
  watch(viewer: Pick<Viewer, 'id'>, ended: () => void): () => void
  /** How many are watched. */
  watched(): number
  close(): void
}

export type CallerWatchContext = {
  /** Those that open something at this moment, and when they expire. */
  living(ids: readonly Viewer['id'][], now: Date): Promise<Living>
  wake: Pick<Wake, 'on'>
  clock: Clock
  log: Log
  pollMs?: number
}

// The truth behind the wake-ups, asked only while something is watched.
const POLL_MS = 10_000
// A timer that is early would find the caller alive, and ask again at once.
const AFTER_EXPIRY_MS = 20

/** One statement for all callers of this process: at the beginning, at a wake-up, when one expires, and by a slow poll. */
export function createCallerWatch(context: CallerWatchContext): CallerWatch {
  const { living, wake, clock, log, pollMs = POLL_MS } = context
  const watched = new Map<Viewer['id'], Set<() => void>>()

  const end = (id: Viewer['id']) => {
    const listeners = watched.get(id) ?? []
    watched.delete(id)
    for (const ended of listeners) ended()
  }
  /** Ends what is over; answers when to look again, in milliseconds, or null when there is nothing to look at. */
  const look = async (): Promise<number | null> => {
    const ids = [...watched.keys()]
    if (ids.length === 0) return null
    const now = clock.now()
    const found = await living(ids, now)
    let nextMs = pollMs
    for (const id of ids) {
      const expiresAt = found.get(id as NonNullable<typeof id>)
      if (expiresAt === undefined) end(id)
      else if (expiresAt !== null) nextMs = Math.min(nextMs, expiresAt.getTime() - now.getTime() + AFTER_EXPIRY_MS)
    }
    return watched.size === 0 ? null : nextMs
  }
  const eye = createEye(() =>
    look().catch((err) => {
      log.debug({ err }, 'The API keys in use could not be checked; trying again')
      return pollMs
    }),
  )
  const stopListening = wake.on('credentials', eye.lookSoon)

  return {
    watch({ id }, ended) {
      const known = watched.get(id)
      const listeners = known ?? new Set()
      watched.set(id, listeners.add(ended))
      // It may have ended since it was asked for, and when it expires is not known yet.
      if (known === undefined) eye.lookSoon()
      return () => {
        listeners.delete(ended)
        if (listeners.size === 0 && watched.get(id) === listeners) watched.delete(id)
      }
    },
    watched: () => watched.size,
    close() {
      stopListening()
      eye.close()
    },
  }
}

/** Looks soon after it was told to, and then whenever the last look said; once at a time. */
function createEye(look: () => Promise<number | null>) {
  let timer: NodeJS.Timeout | null = null
  let looking = false
  let again = false
  let closed = false
  const plan = (ms: number) => {
    if (timer) clearTimeout(timer)
    timer = closed ? null : setTimeout(run, ms)
  }
  const run = async () => {
    timer = null
    looking = true
    again = false
    const nextMs = await look()
    looking = false
    if (again) plan(0)
    else if (nextMs !== null) plan(nextMs)
  }
  return {
    lookSoon() {
      if (looking) again = true
      else plan(0)
    },
    close() {
      closed = true
      if (timer) clearTimeout(timer)
    },
  }
}
