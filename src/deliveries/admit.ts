import { randomUUID } from 'node:crypto'
import { type DeliveryId, type EndpointId, highestIdAt } from '../../schema/ids.ts'
import { LINES, type Line } from '../../schema/states.ts'
import { type Tx, toDate } from '../postgres/client.ts'
import { together } from '../postgres/together.ts'
import type { Ticket, Tickets } from '../queue/tickets.ts'
import { type Allowance, admit, placesOf, priorityOf, shareRoom, slotAfter } from './admission.ts'

/**
 * What a `deliver` ticket says: which delivery, and at which endpoint, so that both can be read at once; and when it goes,
 * if its endpoint has a rate.
 */
export type DeliverTicket = { delivery: DeliveryId; endpoint: EndpointId; at?: string }

/** A delivery that was given a ticket, and how many its endpoint already had. */
export type Ticketed = {
  delivery: DeliveryId
  endpoint: EndpointId
  ticket: string
  depth: number
  firstAttempt: boolean
  /** When it goes; null: at once. */
  at: Date | null
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
  const rows = await tx<(Omit<Allowance, 'nextSlotAt'> & { id: EndpointId; nextSlotAt: string | null })[]>`
    select endpoint.id, state, deleted_at is not null as deleted, least(max_in_flight, allowance) as "maxInFlight", backlog,
      ticketed.count as ticketed, rate_per_second as "ratePerSecond", next_slot_at as "nextSlotAt"
    from postrider.endpoints endpoint
    cross join lateral (
      select count(*)::int from postrider.deliveries
      where endpoint_id = endpoint.id and ticket_id is not null and id <= ${newestId(now)}
    ) ticketed
    where endpoint.id = any(${ids}::uuid[])`
  return new Map(rows.map(({ id, nextSlotAt, ...row }) => [id, { ...row, nextSlotAt: toDate(nextSlotAt) }]))
}

/** Notes which slots of endpoints with a rate are taken. Under the lock of `lockAllowances`. */
export async function saveSlots(
  tx: Tx,
  allowances: ReadonlyMap<EndpointId, Allowance>,
  admitted: readonly Pick<Ticketed, 'endpoint' | 'at'>[],
): Promise<void> {
  const next = new Map<EndpointId, string>()
  for (const { endpoint, at } of admitted) {
    const rate = allowances.get(endpoint)?.ratePerSecond
    if (at !== null && rate) next.set(endpoint, slotAfter(at, rate).toISOString())
  }
  if (next.size === 0) return
  await tx`
    update postrider.endpoints endpoint set next_slot_at = taken.until::timestamptz
    from unnest(${[...next.keys()] as never}::uuid[], ${[...next.values()] as never}::text[]) as taken (id, until)
    where endpoint.id = taken.id`
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

/**
 * Which of some endpoints are in backlog, so that deliveries without tickets may join what waits there, until the commit.
 * Nobody who admits or settles is in the way of that, or waits for it: only who ends a backlog does, with `FOR UPDATE`.
 */
export async function joinBacklogs(tx: Tx, endpoints: readonly EndpointId[]): Promise<Set<EndpointId>> {
  if (endpoints.length === 0) return new Set()
  const rows = await tx<{ id: EndpointId; waits: boolean }[]>`
    select id, backlog and deleted_at is null as waits from postrider.endpoints
    where id = any(${endpoints as never}::uuid[]) order by id for key share`
  return new Set(rows.filter(({ waits }) => waits).map(({ id }) => id))
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
    const admission = allowance ? admit(allowance, due.length, now) : { admitted: 0, backlog: true, slots: null }
    for (const [index, { id, firstAttempt }] of due.entries()) {
      const depth = (allowance?.ticketed ?? 0) + index
      const at = admission.slots?.[index] ?? null
      if (index < admission.admitted)
        admitted.push({ delivery: id, endpoint, ticket: randomUUID(), depth, firstAttempt, at })
      else parked.push(id)
    }
    if (admission.backlog) intoBacklog.push(endpoint)
  }
  await together([
    giveTickets(tx, tickets, admitted),
    saveSlots(tx, allowances, admitted),
    park(tx, parked),
    setBacklog(tx, intoBacklog, true),
  ])
  return admitted.length
}

async function park(tx: Tx, deliveries: readonly DeliveryId[]): Promise<void> {
  if (deliveries.length === 0) return
  const { lowest, highest } = boundsOf(deliveries)
  await tx`
    update postrider.deliveries set waiting_for = ${waitForRoom(tx)}
    where id = any(${deliveries as never}::uuid[]) and id between ${lowest} and ${highest}`
}

/** In which line a delivery waits for room. */
export function waitForRoom(tx: Tx) {
  return tx`case when requested_trigger <> 'REPLAY' then 'REQUESTED' when replay_id is not null then 'REPLAY' when scheduled_attempts_made = 0 then 'ALLOWANCE' else 'RETRY_ALLOWANCE' end`
}

// In one transaction: 100 endpoints with room for 300 each were one of 4.4 s, that held all their locks.
const MOST_PLACES = 2000

/**
 * Gives tickets to waiting deliveries of endpoints in backlog, as far as their allowances go. Where those have room for very
 * many, the last endpoints are left for the next transaction; `toppedUp` are the others.
 */
export async function topUp(
  tx: Tx,
  tickets: Tickets,
  endpoints: readonly EndpointId[],
  now: Date,
): Promise<{ admitted: number; toppedUp: EndpointId[] }> {
  if (endpoints.length === 0) return { admitted: 0, toppedUp: [] }
  const allowances = await lockAllowances(tx, endpoints, now)
  const places = new Map<EndpointId, ReturnType<typeof placesOf>>()
  let room = MOST_PLACES
  for (const endpoint of endpoints) {
    const allowance = allowances.get(endpoint)
    const own = allowance ? placesOf(allowance, allowance.maxInFlight, now) : { places: 0, slots: null }
    room -= own.places
    if (room < 0) break
    places.set(endpoint, own)
  }
  const wanted = [...places].map(([endpoint, { places: most }]) => ({ endpoint, most }))
  const chosen = await chooseWaiting(tx, wanted, now, { locked: true })
  const taken = new Map<EndpointId, number>()
  const admitted = chosen.map((one) => {
    const index = taken.get(one.endpoint) ?? 0
    taken.set(one.endpoint, index + 1)
    return { ...one, at: places.get(one.endpoint)?.slots?.[index] ?? null }
  })
  await together([giveTickets(tx, tickets, admitted), saveSlots(tx, allowances, admitted)])
  return { admitted: admitted.length, toppedUp: [...places.keys()] }
}

type Wanted = readonly { endpoint: EndpointId; most: number }[]
type Waiting = { delivery: DeliveryId; endpoint: EndpointId; line: Line; ticketed: number; room: number }

/**
 * Waiting deliveries of endpoints in backlog, as far as their allowance goes and at most `most` each, locked for the caller
 * to give them tickets: of each line the oldest. Without the lock of `lockAllowances` it may take no more than it has used
 * up itself, and leaves endpoints with a rate or lanes alone: their places are given out one after another.
 */
export async function chooseWaiting(
  tx: Tx,
  wanted: Wanted,
  now: Date,
  { locked }: { locked: boolean },
): Promise<Ticketed[]> {
  if (wanted.length === 0) return []
  const ofLine = (line: Line) => tx`
    select id, ${line}::text as line from (
      select id from postrider.deliveries
      where endpoint_id = allowed.id and waiting_for = ${line} and id <= ${newestId(now)}
      order by id limit greatest(allowed.room, 0) for update skip locked
    ) waiting`
  const waiting = await tx<Waiting[]>`
    select waiting.id as delivery, allowed.id as endpoint, allowed.ticketed, allowed.room, waiting.line
    from (
      select endpoint.id, ticketed.count as ticketed,
        least(wanted.most, least(endpoint.max_in_flight, endpoint.allowance) - ticketed.count) as room
      from unnest(${wanted.map(({ endpoint }) => endpoint) as never}::uuid[], ${wanted.map(({ most }) => most) as never}::int[]) wanted (id, most)
      join postrider.endpoints endpoint on endpoint.id = wanted.id
      cross join lateral (
        select count(*)::int from postrider.deliveries
        where endpoint_id = endpoint.id and ticket_id is not null and id <= ${newestId(now)}
      ) ticketed
      where endpoint.backlog and endpoint.state = 'ACTIVE' and endpoint.deleted_at is null
        and (${locked} or endpoint.rate_per_second is null and endpoint.ordering = 'NONE')
    ) allowed
    cross join lateral (
      ${ofLine('REQUESTED')} union all ${ofLine('ALLOWANCE')} union all ${ofLine('RETRY_ALLOWANCE')} union all ${ofLine('REPLAY')}
    ) waiting`
  return [...Map.groupBy(waiting, ({ endpoint }) => endpoint).values()].flatMap(shared)
}

/** Of what waits at one endpoint as many as there is room for. */
function shared(waiting: readonly Waiting[]): Ticketed[] {
  const { ticketed, room } = waiting[0] as Waiting
  const [requested, first, again, replayed] = LINES.map((line) => waiting.filter((one) => one.line === line)) as [
    Waiting[],
    Waiting[],
    Waiting[],
    Waiting[],
  ]
  const share = shareRoom(room, requested.length, first.length, again.length, replayed.length, Math.random())
  const chosen = [
    ...requested.slice(0, share.requested),
    ...first.slice(0, share.first),
    ...again.slice(0, share.again),
    ...replayed.slice(0, share.replayed),
  ]
  return chosen.map(({ delivery, endpoint, line }, index) => ({
    delivery,
    endpoint,
    firstAttempt: line === 'REQUESTED' || line === 'ALLOWANCE',
    ticket: randomUUID(),
    depth: ticketed + index,
    at: null,
  }))
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

export function deliverTicket({ delivery, endpoint, ticket, depth, firstAttempt, at }: Ticketed): Ticket {
  const data: DeliverTicket = { delivery, endpoint, ...(at === null ? {} : { at: at.toISOString() }) }
  return { id: ticket, data, priority: priorityOf(depth, firstAttempt) }
}

/** Days made ahead need not be searched, but tomorrow: the clock of whoever published may be fast. */
export const newestId = (now: Date) => highestIdAt(now.getTime() + 86_400_000)

/**
 * The bounds of some deliveries' ids: with them a statement touches their days only (a trial: 42 ms without, 4 ms with, at
 * 33 days). Beside `id = any(…)`, never instead: a plan that reads all between them took 0.4 ms per row.
 */
export function boundsOf(ids: readonly DeliveryId[]): { lowest: DeliveryId; highest: DeliveryId } {
  const sorted = [...ids].sort()
  return { lowest: sorted[0] as DeliveryId, highest: sorted.at(-1) as DeliveryId }
}
