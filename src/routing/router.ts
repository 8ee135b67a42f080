import { publicId, type TenantId } from '../../schema/ids.ts'
import { BURST, ORDINARY } from '../events/bursts.ts'
import { createTrouble, type Log } from '../log.ts'
import { isTransient } from '../postgres/unavailable.ts'
import { type Loop, startLoop } from '../queue/loop.ts'
import type { Claim, Tickets } from '../queue/tickets.ts'
import type { Wake } from '../queue/wake.ts'
import { countForLanes, putLast, routeIntoLanes, tenantsWithLanes } from './lanes.ts'
import { park } from './park.ts'
import { type OutboxTicket, type RouteContext, route } from './route.ts'

export type RouterContext = RouteContext & { tickets: Tickets; wake: Wake; log: Log }

/** `forLanes`: the tenants that have events noted for their lanes. */
type Routing = RouterContext & { forLanes: Set<TenantId> }

/** Nudged when there may be something in the outbox. */
export type Router = Pick<Loop, 'nudge' | 'stop'>

// Events written by a producer's own transaction come without a wake-up: this bounds their latency.
const POLL_MS = 1000
// A ticket names up to 500 events. Beyond this many a routing transaction to many endpoints took 20 s and 1 GB.
const MOST_EVENTS = 1000
const MOST_TICKETS = 64
const FEW_TICKETS = 4
// Events of tenants in a burst are routed when nobody else's wait, as many as one transaction takes; and so often even if
// others wait. A ticket at a time was too little: where everybody is in a burst, each may hold a few events only.
const FULL_CLAIMS_IN_A_ROW = 8
// Another process puts events of the same tenant into its lanes, or there are very many of them.
const OTHERS_TURN_MS = 10
// What is noted for a lane is put there right after it was routed, unless that process died in between.
const HEAL_MS = 5000

/** Takes the outbox to the deliveries, batch after batch: what comes while one is routed is the next one. */
export function createRouter(parts: RouterContext): Router {
  const context: Routing = { ...parts, forLanes: new Set() }
  const { log } = context
  const routeSome = createClaiming(context)
  let healedAt = Number.NEGATIVE_INFINITY
  return startLoop({
    async look() {
      const more = await routeSome()
      if (performance.now() - healedAt > HEAL_MS) {
        healedAt = performance.now()
        for (const tenant of await tenantsWithLanes(context.db.sql)) context.forLanes.add(tenant)
      }
      const moreForLanes = await routeLanes(context)
      if (more) return 0
      return moreForLanes ? OTHERS_TURN_MS : POLL_MS
    },
    trouble: createTrouble(log, {
      failing: 'Events could not be routed; trying again',
      working: 'Events are routed again',
    }),
  })
}

/** Claims and routes once; each call says whether there may be more at once. */
function createClaiming(context: Routing): () => Promise<boolean> {
  const { tickets } = context
  let fullClaims = 0
  let mostOfBurst = 1
  let quiet = true
  const routeAll = async (claims: Claim<OutboxTicket>[]) => {
    let deferred = false
    for (const group of inGroups(claims)) if (await routeTogether(context, group)) deferred = true
    return deferred
  }
  return async () => {
    // With little to do, one claim of everything says that it is all: an idle router asks once a second, not twice.
    if (quiet) {
      const all = await tickets.claim<OutboxTicket>('outbox', Math.max(FEW_TICKETS, mostOfBurst))
      const deferred = await routeAll(all.claims)
      quiet = !all.more && !deferred
      return !quiet
    }
    const { claims, more } = await tickets.claim<OutboxTicket>('outbox', MOST_TICKETS, { leastPriority: ORDINARY })
    await routeAll(claims)
    fullClaims = more ? fullClaims + 1 : 0
    if (more && fullClaims % FULL_CLAIMS_IN_A_ROW > 0) return true
    const burst = await tickets.claim<OutboxTicket>('outbox', mostOfBurst, { mostPriority: BURST })
    await routeAll(burst.claims)
    if (burst.claims.length > 0) mostOfBurst = ticketsWorth(MOST_EVENTS, burst.claims)
    quiet = claims.length + burst.claims.length === 0
    return !quiet
  }
}

/** How many tickets as large as these hold so many events: whoever is not in a burst waits no longer than for those. */
function ticketsWorth(events: number, claims: readonly Claim<OutboxTicket>[]): number {
  const average = claims.reduce((sum, { data }) => sum + data.events.length, 0) / claims.length
  return Math.max(1, Math.min(MOST_TICKETS, Math.floor(events / average)))
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

/** One transaction for each tenant that has events for its lanes; says whether there are more. What fails stays noted. */
async function routeLanes(context: Routing): Promise<boolean> {
  for (const tenant of [...context.forLanes]) {
    try {
      const more = await routeLanesOf(context, tenant)
      if (!more) context.forLanes.delete(tenant)
    } catch (err) {
      context.forLanes.delete(tenant)
      context.log.error({ err }, 'Events could not be put into their lanes; trying again')
    }
  }
  return context.forLanes.size > 0
}

/** Where some cannot be put there, one after another is tried, and those at fault go to the end: the others do not wait for them. */
async function routeLanesOf(context: Routing, tenant: TenantId): Promise<boolean> {
  const put = async (most?: number) => {
    const { admitted, more } = await routeIntoLanes(context, tenant, most)
    if (admitted > 0) context.wake.signal('deliver')
    return more
  }
  try {
    return await put()
  } catch (err) {
    if (isTransient(err)) throw err
    for (let left = await countForLanes(context.db.sql, tenant); left > 0; left--) {
      await put(1).catch(async (err) => {
        if (isTransient(err)) throw err
        const id = await putLast(context.db.sql, tenant)
        context.log.error(
          { err, event: id && publicId('evt', id) },
          'An event could not be put into its lanes; trying again',
        )
      })
    }
    return false
  }
}

/**
 * One that cannot be routed must not keep its neighbours: then each is tried alone, and what fails waits in nobody's way. Says
 * whether some were put off.
 */
async function routeTogether(context: Routing, claims: Claim<OutboxTicket>[]): Promise<boolean> {
  const { tickets, wake, log } = context
  try {
    const { admitted, backlogBegan, ordered, deferred } = await route(context, claims)
    if (admitted > 0) wake.signal('deliver')
    if (backlogBegan) wake.signal('promote')
    for (const tenant of ordered) context.forLanes.add(tenant)
    return deferred > 0
  } catch (err) {
    if (claims.length > 1 && !isTransient(err)) {
      let deferred = false
      for (const claim of claims) if (await routeTogether(context, [claim])) deferred = true
      return deferred
    }
    const ids = claims.flatMap(({ data }) => data.events).slice(0, 10)
    log.error({ err, events: ids.map((id) => publicId('evt', id)) }, 'Events could not be routed; trying again')
    try {
      if (isTransient(err)) await tickets.release('outbox', claims)
      else for (const claim of claims) await park(context, claim)
    } catch (err) {
      log.debug({ err }, 'Claims will lapse')
    }
    return false
  }
}
