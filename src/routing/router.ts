import type { Log } from '../log.ts'
import { isUnavailable } from '../postgres/unavailable.ts'
import { createPause } from '../queue/pause.ts'
import type { Claim, Tickets } from '../queue/tickets.ts'
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
// A ticket names up to 500 events. Beyond this many a routing transaction to many endpoints took 20 s and 1 GB.
const MOST_EVENTS = 1000
const MOST_TICKETS = 64
const PAUSE_AFTER_ERROR_MS = 500

/** Takes the outbox to the deliveries, batch after batch: what comes while one is routed is the next one. */
export function createRouter(context: RouterContext): Router {
  const { tickets, log } = context
  let stopping = false
  let nudged = true
  const pause = createPause()

  /** Whether there may be more at once. */
  const routeSome = async (): Promise<boolean> => {
    const { claims, more } = await tickets.claim<OutboxTicket>('outbox', MOST_TICKETS)
    for (const group of inGroups(claims)) await routeTogether(context, group)
    return more
  }

  const run = async () => {
    while (!stopping) {
      nudged = false
      try {
        const more = await routeSome()
        if (!more && !nudged && !stopping) await pause.for(POLL_MS)
      } catch (err) {
        log.error({ err }, 'Events could not be routed; trying again')
        await pause.for(PAUSE_AFTER_ERROR_MS)
      }
    }
  }
  const running = run()

  return {
    nudge() {
      nudged = true
      pause.end()
    },
    async stop() {
      stopping = true
      pause.end()
      await running
    },
  }
}

/** Claims whose events are routed in one transaction: as many as keep it short. One ticket is never split. */
function inGroups(claims: readonly Claim<OutboxTicket>[]): Claim<OutboxTicket>[][] {
  const groups: Claim<OutboxTicket>[][] = []
  let events = MOST_EVENTS
  for (const claim of claims) {
    events += claim.data.events.length
    if (events > MOST_EVENTS) {
      groups.push([])
      events = claim.data.events.length
    }
    groups.at(-1)?.push(claim)
  }
  return groups
}

/** One that cannot be routed must not keep its neighbours: then each is tried alone, and what fails is given back. */
async function routeTogether(context: RouterContext, claims: Claim<OutboxTicket>[]): Promise<void> {
  const { tickets, wake, log } = context
  try {
    const { admitted, backlogBegan } = await route(context, claims)
    if (admitted > 0) wake.signal('deliver')
    if (backlogBegan) wake.signal('promote')
  } catch (err) {
    if (claims.length > 1 && !isUnavailable(err)) {
      for (const claim of claims) await routeTogether(context, [claim])
      return
    }
    log.error(
      { err, events: claims.flatMap(({ data }) => data.events).slice(0, 10) },
      'Events could not be routed; trying again',
    )
    // Otherwise they would wait until the claims have lapsed.
    await tickets.release('outbox', claims).catch((err) => log.debug({ err }, 'Claims will lapse'))
  }
}
