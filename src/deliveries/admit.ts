import { randomUUID } from 'node:crypto'
import { type DeliveryId, type EndpointId, highestIdAt } from '../../schema/ids.ts'
import type { Tx } from '../postgres/client.ts'
import { together } from '../postgres/together.ts'
import type { Ticket, Tickets } from '../queue/tickets.ts'
import { type Allowance, admit, priorityOf } from './admission.ts'

/** What a `deliver` ticket says: which delivery, and at which endpoint, so that both can be read at once. */
export type DeliverTicket = { delivery: DeliveryId; endpoint: EndpointId }

/** A delivery that was given a ticket, and how many its endpoint already had. */
export type Ticketed = {
  delivery: DeliveryId
  endpoint: EndpointId
  ticket: string
  depth: number
  firstAttempt: boolean
}

/**
 * Locks endpoints against everybody else who admits, and returns what each may take. Only under this lock may the number
 * of an endpoint's tickets grow, or its backlog flag change; settling may only replace tickets it has used up.
 */
export async function lockAllowances(
  tx: Tx,
  endpoints: readonly EndpointId[],
  now: Date,
): Promise<Map<EndpointId, Allowance>> {
  if (endpoints.length === 0) return new Map()
  const ids = endpoints as never
  await lockEndpoints(tx, endpoints)
  // A statement of its own, with a snapshot taken after the locks: it sees what those who held them before have done.
  const rows = await tx<(Allowance & { id: EndpointId })[]>`
    select endpoint.id, state, deleted_at is not null as deleted, max_in_flight as "maxInFlight", backlog, ticketed.count as ticketed
    from postrider.endpoints endpoint
    cross join lateral (
      select count(*)::int from postrider.deliveries
      where endpoint_id = endpoint.id and ticket_id is not null and id <= ${newestId(now)}
    ) ticketed
    where endpoint.id = any(${ids}::uuid[])`
  return new Map(rows.map(({ id, ...allowance }) => [id, allowance]))
}

/** Locks endpoints until the commit, always in the same order. */
export async function lockEndpoints(tx: Tx, endpoints: readonly EndpointId[]): Promise<void> {
  await tx`select id from postrider.endpoints where id = any(${endpoints as never}::uuid[]) order by id for no key update`
}

/**
 * Sets or clears the backlog flag where it changes. Whoever makes deliveries wait sets it in the same transaction: the lock
 * makes it see what a promoter has done that is just ending the backlog, because it cannot see them wait yet.
 */
export async function setBacklog(tx: Tx, endpoints: readonly EndpointId[], backlog: boolean): Promise<void> {
  if (endpoints.length === 0) return
  const ids = endpoints as never
  await together([
    lockEndpoints(tx, endpoints),
    tx`update postrider.endpoints set backlog = ${backlog} where id = any(${ids}::uuid[]) and backlog <> ${backlog}`,
  ])
}

/** A delivery that may go again. */
export type DueRow = { id: DeliveryId; endpoint: EndpointId; firstAttempt: boolean }

/** Admits due deliveries as far as their endpoints' allowances go; the others wait in line. Their rows are locked already. */
export async function admitDue(tx: Tx, tickets: Tickets, rows: readonly DueRow[], now: Date): Promise<number> {
  if (rows.length === 0) return 0
  const byEndpoint = Map.groupBy(rows, (row) => row.endpoint)
  const allowances = await lockAllowances(tx, [...byEndpoint.keys()], now)
  const admitted: Ticketed[] = []
  const parked: DeliveryId[] = []
  const intoBacklog: EndpointId[] = []
  for (const [endpoint, due] of byEndpoint) {
    const allowance = allowances.get(endpoint)
    const admission = allowance ? admit(allowance, due.length) : { admitted: 0, backlog: true }
    for (const [index, { id, firstAttempt }] of due.entries()) {
      const depth = (allowance?.ticketed ?? 0) + index
      if (index < admission.admitted)
        admitted.push({ delivery: id, endpoint, ticket: randomUUID(), depth, firstAttempt })
      else parked.push(id)
    }
    if (admission.backlog) intoBacklog.push(endpoint)
  }
  await together([giveTickets(tx, tickets, admitted), park(tx, parked), setBacklog(tx, intoBacklog, true)])
  return admitted.length
}

async function park(tx: Tx, deliveries: readonly DeliveryId[]): Promise<void> {
  if (deliveries.length === 0) return
  const { lowest, highest } = boundsOf(deliveries)
  await tx`
    update postrider.deliveries set waiting_for = 'ALLOWANCE'
    where id = any(${deliveries as never}::uuid[]) and id between ${lowest} and ${highest}`
}

type Wanted = readonly { endpoint: EndpointId; most: number }[]

/** Gives tickets to the oldest waiting deliveries of endpoints in backlog. The caller holds the lock of `lockAllowances`. */
export async function topUp(tx: Tx, tickets: Tickets, wanted: Wanted, now: Date): Promise<number> {
  const chosen = await chooseWaiting(tx, wanted, now)
  await giveTickets(tx, tickets, chosen)
  return chosen.length
}

/**
 * The oldest waiting deliveries of endpoints in backlog, as far as their allowance goes and at most `most` each, locked for
 * the caller to give them tickets. Without the lock of `lockAllowances` it may take no more than it has used up itself.
 */
export async function chooseWaiting(tx: Tx, wanted: Wanted, now: Date): Promise<Ticketed[]> {
  if (wanted.length === 0) return []
  const chosen = await tx<(Omit<Ticketed, 'ticket' | 'depth'> & { ticketed: number })[]>`
    select waiting.id as delivery, allowed.id as endpoint, allowed.ticketed, waiting."firstAttempt"
    from (
      select endpoint.id, ticketed.count as ticketed, least(wanted.most, endpoint.max_in_flight - ticketed.count) as room
      from unnest(${wanted.map(({ endpoint }) => endpoint) as never}::uuid[], ${wanted.map(({ most }) => most) as never}::int[]) wanted (id, most)
      join postrider.endpoints endpoint on endpoint.id = wanted.id
      cross join lateral (
        select count(*)::int from postrider.deliveries
        where endpoint_id = endpoint.id and ticket_id is not null and id <= ${newestId(now)}
      ) ticketed
      where endpoint.backlog and endpoint.state = 'ACTIVE' and endpoint.deleted_at is null
    ) allowed
    cross join lateral (
      select id, scheduled_attempts_made = 0 as "firstAttempt" from postrider.deliveries
      where endpoint_id = allowed.id and waiting_for = 'ALLOWANCE' and id <= ${newestId(now)}
      order by id limit greatest(allowed.room, 0) for update skip locked
    ) waiting`
  const depths = new Map<EndpointId, number>()
  return chosen.map(({ ticketed, ...one }): Ticketed => {
    const depth = depths.get(one.endpoint) ?? ticketed
    depths.set(one.endpoint, depth + 1)
    return { ...one, ticket: randomUUID(), depth }
  })
}

/** Writes the tickets of admitted deliveries, in their rows and in the queue. */
export async function giveTickets(tx: Tx, tickets: Tickets, admitted: readonly Ticketed[]): Promise<void> {
  if (admitted.length === 0) return
  const ids = admitted.map(({ delivery }) => delivery)
  const { lowest, highest } = boundsOf(ids)
  await together([
    tx`update postrider.deliveries delivery set ticket_id = admitted.ticket, waiting_for = null
      from unnest(${ids as never}::uuid[], ${admitted.map(({ ticket }) => ticket) as never}::uuid[]) as admitted (id, ticket)
      where delivery.id = admitted.id and delivery.id = any(${ids as never}::uuid[]) and delivery.id between ${lowest} and ${highest}`,
    tickets.enqueue(tx, 'deliver', admitted.map(deliverTicket)),
  ])
}

export function deliverTicket({ delivery, endpoint, ticket, depth, firstAttempt }: Ticketed): Ticket {
  return { id: ticket, data: { delivery, endpoint } satisfies DeliverTicket, priority: priorityOf(depth, firstAttempt) }
}

/** Days made ahead need not be searched, but tomorrow: the clock of whoever published may be fast. */
const newestId = (now: Date) => highestIdAt(now.getTime() + 86_400_000)

/**
 * The bounds of some deliveries' ids: with them a statement touches their days only (a trial: 42 ms without, 4 ms with, at
 * 33 days). Beside `id = any(…)`, never instead: a plan that reads all between them took 0.4 ms per row.
 */
export function boundsOf(ids: readonly DeliveryId[]): { lowest: DeliveryId; highest: DeliveryId } {
  const sorted = [...ids].sort()
  return { lowest: sorted[0] as DeliveryId, highest: sorted.at(-1) as DeliveryId }
}
