import type { Log } from '../log.ts'
import type { Clock } from '../postgres/clock.ts'
import type { Wake } from '../queue/wake.ts'
import type { Viewer } from './access.ts'
import type { Living } from './living.ts'

/** Tells when credentials that are in use end: revoked, expired, or gone with their tenant. */
export type CredentialWatch = {
  /** Calls `ended`, once, when the credential opens nothing any more. Returns how to stop watching. */
  watch(viewer: Pick<Viewer, 'id'>, ended: () => void): () => void
  /** How many are watched. */
  watched(): number
  close(): void
}

export type CredentialWatchContext = {
  /** Those of the credentials that were not revoked, and when they expire. */
  living(ids: readonly Viewer['id'][]): Promise<Living>
  wake: Pick<Wake, 'on'>
  clock: Clock
  log: Log
  pollMs?: number
}

// The truth behind the wake-ups, asked only while something is watched.
const POLL_MS = 10_000
// A timer that is early would find the credential alive, and ask again at once.
const AFTER_EXPIRY_MS = 20

/** One statement for all credentials of this process: at the beginning, at a wake-up, when one expires, and by a slow poll. */
export function createCredentialWatch(context: CredentialWatchContext): CredentialWatch {
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
    const found = await living(ids)
    const now = clock.now().getTime()
    let nextMs = pollMs
    for (const id of ids) {
      const expiresAt = found.get(id as NonNullable<typeof id>)
      const leftMs = expiresAt === null ? pollMs : expiresAt === undefined ? 0 : expiresAt.getTime() - now
      if (leftMs <= 0) end(id)
      else nextMs = Math.min(nextMs, leftMs + AFTER_EXPIRY_MS)
    }
    return watched.size === 0 ? null : nextMs
  }
  const eye = createEye(() =>
    look().catch((err) => {
      log.debug({ err }, 'Credentials in use could not be checked; trying again')
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
