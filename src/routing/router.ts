import type { Log } from '../log.ts'
import type { Tickets } from '../queue/tickets.ts'
import type { Wake } from '../queue/wake.ts'
import { type OutboxTicket, type RouteContext, route } from './route.ts'

export type RouterContext = RouteContext & { tickets: Tickets; wake: Wake; log: Log }

export type Router = {
  /** There may be something in the outbox. */
  nudge(): void
  stop(): Promise<void>
}

// Events written by a producer's own transaction come without a wake-up: this bounds their latency.
const POLL_MS = 1000
// A ticket names up to 500 events; this many keep a routing transaction within tens of milliseconds at ordinary batch sizes.
const MOST_TICKETS = 64
const PAUSE_AFTER_ERROR_MS = 500

/** Takes the outbox to the deliveries, batch after batch: what comes while one is routed is the next one. */
export function createRouter(context: RouterContext): Router {
  const { tickets, wake, log } = context
  let stopping = false
  let nudged = true
  let wakeUp = () => {}

  const pause = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      wakeUp = () => {
        clearTimeout(timer)
        resolve()
      }
    })

  /** Whether there may be more at once. */
  const routeSome = async (): Promise<boolean> => {
    const { claims, more } = await tickets.claim<OutboxTicket>('outbox', MOST_TICKETS)
    if (claims.length === 0) return false
    const { admitted, backlogBegan } = await route(context, claims).catch(async (error) => {
      // Otherwise their events would wait until the claims have lapsed.
      await tickets.release('outbox', claims).catch((err) => log.debug({ err }, 'Claims will lapse'))
      throw error
    })
    if (admitted > 0) wake.signal('deliver')
    if (backlogBegan) wake.signal('promote')
    return more
  }

  const run = async () => {
    while (!stopping) {
      nudged = false
      try {
        const more = await routeSome()
        if (!more && !nudged && !stopping) await pause(POLL_MS)
      } catch (err) {
        log.error({ err }, 'Events could not be routed; trying again')
        await pause(PAUSE_AFTER_ERROR_MS)
      }
    }
  }
  const running = run()

  return {
    nudge() {
      nudged = true
      wakeUp()
    },
    async stop() {
      stopping = true
      wakeUp()
      await running
    },
  }
}
