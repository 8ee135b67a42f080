import type { DeliveryId, EndpointId } from '../../schema/ids.ts'
import { type DeliveryState, LINES } from '../../schema/states.ts'
import type { Db, Tx } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { again } from '../postgres/deadlock.ts'
import type { Tickets } from '../queue/tickets.ts'
import { admitDue, boundsOf, lockEndpoints, setBacklog, waitForRoom } from './admit.ts'
import { advanceLanes, blockLanes, type Ended, giveHeads, headlessLanes } from './lanes.ts'

export type SweepContext = { db: Db; tickets: Tickets; clock: Clock }

/** How many were found, and set on their way again. */
export type Swept = {
  /** Deliveries whose ticket is gone. */
  ticketless: number
  /** Endpoints where deliveries wait that nobody looked at. */
  endpoints: number
  /** Lanes whose turn had got lost. */
  lanes: number
}

const MOST_AT_ONCE = 1000
// A sweep must come to its end before the next one.
const MOST_ROUNDS = 100

/**
 * Finds deliveries that nobody would ever look at again, and sets them on their way. None are known to come about: rows and
 * tickets are written together. It is there for what is not known, and for hands in the database.
 */
export async function sweepDeliveries(context: SweepContext): Promise<Swept> {
  const ticketless = await healAll(context, healTicketless)
  const endpoints = await healForgotten(context)
  const lanes = await healAll(context, healLanes)
  return { ticketless, endpoints, lanes }
}

type Healed = { count: number; more: boolean }

async function healAll(
  context: SweepContext,
  heal: (tx: Tx, context: SweepContext) => Promise<Healed>,
): Promise<number> {
  let count = 0
  for (let round = 1; ; round++) {
    const healed = await again(() => context.db.transaction((tx) => heal(tx, context)))
    count += healed.count
    if (!healed.more || round === MOST_ROUNDS) return count
  }
}

async function healTicketless(tx: Tx, { tickets }: SweepContext): Promise<Healed> {
  const lost = tx`ticket_id is not null and not ${tickets.isThere(tx, 'deliver', tx`ticket_id`)}`
  const found = await tx<{ id: DeliveryId; endpoint: EndpointId }[]>`
    select id, endpoint_id as endpoint from postrider.deliveries where ${lost} limit ${MOST_AT_ONCE}`
  if (found.length === 0) return { count: 0, more: false }
  const endpoints = [...new Set(found.map(({ endpoint }) => endpoint))]
  await lockEndpoints(tx, endpoints)
  const ids = found.map(({ id }) => id).sort()
  const { lowest, highest } = boundsOf(ids)
  const healed = await tx`
    update postrider.deliveries set ticket_id = null, waiting_for = ${waitForRoom(tx)}
    where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest} and ${lost}`
  await setBacklog(tx, endpoints, true)
  return { count: healed.count, more: found.length === MOST_AT_ONCE && healed.count > 0 }
}

/** Endpoints with deliveries that wait for room, and without the flag that makes the promoter look at them. */
async function healForgotten({ db }: SweepContext): Promise<number> {
  const healed = await db.sql`
    update postrider.endpoints set backlog = true
    where id in (
      select id from postrider.endpoints where not backlog and (
        select id from postrider.deliveries
        where endpoint_id = endpoints.id and waiting_for = any(${LINES as never}::text[]) limit 1
      ) is not null
      order by id for no key update
    )`
  return healed.count
}

/** Lanes whose head is over, or that have none although somebody waits in them. */
async function healLanes(tx: Tx, { tickets, clock }: SweepContext): Promise<Healed> {
  const over = await tx<(Ended & { state: DeliveryState | null })[]>`
    select lanes.endpoint_id as endpoint, lanes.lane, head as delivery, delivery.state
    from postrider.lanes left join postrider.deliveries delivery on delivery.id = head
    where head is not null and not blocked and delivery.state is distinct from 'PENDING' limit ${MOST_AT_ONCE}`
  const headless = await headlessLanes(tx, MOST_AT_ONCE)
  const endpoints = [...new Set([...over, ...headless].map(({ endpoint }) => endpoint))]
  if (endpoints.length === 0) return { count: 0, more: false }
  await lockEndpoints(tx, endpoints)
  await blockLanes(
    tx,
    over.filter(({ state }) => state === 'FAILED'),
  )
  const moved = await advanceLanes(
    tx,
    over.filter(({ state }) => state !== 'FAILED'),
  )
  await admitDue(tx, tickets, [...moved, ...(await giveHeads(tx, headless))], clock.now())
  await setBacklog(tx, endpoints, true)
  const more = over.length === MOST_AT_ONCE || headless.length === MOST_AT_ONCE
  return { count: over.length + headless.length, more }
}
