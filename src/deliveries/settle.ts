import { type DeliveryId, type EndpointId, newId } from '../../schema/ids.ts'
import { recordAttempts } from '../attempts/record.ts'
import { type Disabling, disableEndpoints } from '../endpoints/disable.ts'
import type { Db, Tx } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { together } from '../postgres/together.ts'
import type { Ticket, Tickets } from '../queue/tickets.ts'
import { boundsOf, chooseWaiting, giveTickets, lockEndpoints, setBacklog, type Ticketed } from './admit.ts'
import type { Sent } from './send.ts'

export type SettleContext = { db: Db; tickets: Tickets; clock: Clock }

/** What a `retry` ticket says. */
export type RetryTicket = { delivery: DeliveryId; endpoint: EndpointId }

export type SettleReport = {
  /** How many waiting deliveries got the tickets that were used up. */
  admitted: number
  /** When the first of the retries scheduled here is due. */
  nextRetryAt: Date | null
  /** Endpoints that were disabled by what they answered. */
  disabled: EndpointId[]
}

// Beyond either, the row alone remembers: the promoter finds it when it is due.
const FARTHEST_RETRY_TICKET_MS = 3_600_000
const MOST_RETRY_TICKETS = 1000

/** Claims that others have taken over meanwhile. */
class ClaimsLost extends Error {
  readonly lost: Set<string>

  constructor(lost: Set<string>) {
    super('Some claims had lapsed')
    this.name = 'ClaimsLost'
    this.lost = lost
  }
}

/**
 * Records what came of some attempts and what is next for their deliveries: all of it or nothing. Where a claim was lost,
 * the attempt is recorded and nothing else: its delivery is somebody else's now.
 */
export async function settle(context: SettleContext, results: readonly Sent[]): Promise<SettleReport> {
  let lost = new Set<string>()
  for (;;) {
    try {
      return await settleUnless(context, results, lost)
    } catch (error) {
      if (!(error instanceof ClaimsLost)) throw error
      lost = lost.union(error.lost)
    }
  }
}

/**
 * Takes it that every claim but the `lost` ones is still ours, and rolls back when that proves wrong: so the statements
 * need not wait for each other, and a busy process spends two turns of its event loop on a batch instead of seven.
 */
function settleUnless(
  { db, tickets, clock }: SettleContext,
  results: readonly Sent[],
  lost: Set<string>,
): Promise<SettleReport> {
  const ours = results.filter(({ prepared }) => !lost.has(prepared.claim.id))
  const now = clock.now()
  const retries = nearRetries(ours, now)
  const disablings = ours.flatMap(disablingOf)
  const parking = ours.filter(({ settlement }) => settlement.waitingFor === 'ALLOWANCE').map(endpointOf)
  return db.transaction(async (tx) => {
    const [finished, freed, chosen, roomy, disabled] = await together([
      tickets.finish(
        tx,
        'deliver',
        ours.map(({ prepared }) => prepared.claim),
      ),
      updateDeliveries(tx, ours, now),
      chooseWaiting(tx, countEach(ours.map(endpointOf)), now),
      endpointsWithFewRetries(tx, retries),
      changeEndpoints(tx, parking, disablings, now),
    ])
    const missing = ours.map(({ prepared }) => prepared.claim.id).filter((id) => !finished.has(id))
    if (missing.length > 0) throw new ClaimsLost(new Set(missing))
    const admitted = within(chosen, countEach(freed))
    await together([
      giveTickets(tx, tickets, admitted),
      tickets.enqueue(
        tx,
        'retry',
        retries.filter(({ endpoint }) => roomy.has(endpoint)).map((retry) => retryTicket(retry, now)),
      ),
      // Last: it takes the lock under which attempts get their positions, and keeps it to the commit.
      recordAttempts(
        tx,
        results.map(({ attempt }) => attempt),
      ),
    ])
    const firstRetry = Math.min(...retries.map(({ at }) => at.getTime()))
    return { admitted: admitted.length, nextRetryAt: retries.length > 0 ? new Date(firstRetry) : null, disabled }
  })
}

const endpointOf = ({ prepared }: Pick<Sent, 'prepared'>): EndpointId => prepared.delivery.endpointId

function disablingOf({ prepared, settlement }: Sent): Disabling[] {
  if (settlement.disables === null) return []
  return [{ endpoint: endpointOf({ prepared }), url: prepared.endpoint.url, reason: settlement.disables }]
}

/** The locks for both changes in one order, or two batches that settle at once could wait for each other. */
async function changeEndpoints(
  tx: Tx,
  parking: readonly EndpointId[],
  disablings: readonly Disabling[],
  now: Date,
): Promise<EndpointId[]> {
  if (parking.length + disablings.length === 0) return []
  const [, , disabled] = await together([
    lockEndpoints(tx, [...parking, ...disablings.map(({ endpoint }) => endpoint)]),
    setBacklog(tx, parking, true),
    disableEndpoints(tx, disablings, now),
  ])
  return disabled
}

function countEach(endpoints: readonly EndpointId[]): { endpoint: EndpointId; most: number }[] {
  const counts = new Map<EndpointId, number>()
  for (const endpoint of endpoints) counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1)
  return [...counts].map(([endpoint, most]) => ({ endpoint, most }))
}

/** A delivery that was cancelled meanwhile gave its place up already: no more are admitted than tickets were really used up. */
function within(chosen: readonly Ticketed[], freed: readonly { endpoint: EndpointId; most: number }[]): Ticketed[] {
  const left = new Map(freed.map(({ endpoint, most }) => [endpoint, most]))
  return chosen.filter(({ endpoint }) => {
    const places = left.get(endpoint) ?? 0
    left.set(endpoint, places - 1)
    return places > 0
  })
}

/**
 * One statement for the batch. A delivery whose row names another ticket (it was cancelled meanwhile) is left alone.
 * Returns the endpoint of each ticket that was used up. Not `ticket_id = …`: that would let the planner read the index of
 * all deliveries with a ticket instead of these by their ids (7 ms per 100 instead of 2).
 */
async function updateDeliveries(tx: Tx, results: readonly Sent[], now: Date): Promise<EndpointId[]> {
  if (results.length === 0) return []
  // In one order, so that two transactions never wait for each other.
  const sorted = [...results].sort((a, b) => (a.prepared.delivery.id < b.prepared.delivery.id ? -1 : 1))
  const ids = sorted.map(({ prepared }) => prepared.delivery.id)
  const { lowest, highest } = boundsOf(ids)
  const column = <T>(pick: (result: Sent) => T) => sorted.map(pick) as never
  const rows = await tx<{ endpoint: EndpointId }[]>`
    update postrider.deliveries delivery set
      state = result.state, waiting_for = result.waiting_for, next_attempt_at = result.next_attempt_at, ticket_id = null,
      requested_trigger = null, requested_at = null, last_attempt_id = result.attempt_id,
      attempts_made = attempts_made + 1, scheduled_attempts_made = scheduled_attempts_made + result.scheduled::int,
      settled_at = case when result.state = 'PENDING' then null
        when result.state = delivery.state then delivery.settled_at else ${now.toISOString()}::timestamptz end
    from unnest(
      ${ids as never}::uuid[], ${column(({ prepared }) => prepared.claim.id)}::uuid[],
      ${column(({ settlement }) => settlement.state)}::text[], ${column(({ settlement }) => settlement.waitingFor)}::text[],
      ${column(({ settlement }) => settlement.nextAttemptAt?.toISOString() ?? null)}::text[]::timestamptz[],
      ${column(({ settlement }) => String(settlement.scheduled))}::text[]::bool[], ${column(({ attempt }) => attempt.id)}::uuid[]
    ) as result (id, ticket_id, state, waiting_for, next_attempt_at, scheduled, attempt_id)
    where delivery.id = result.id and delivery.ticket_id is not distinct from result.ticket_id
      and delivery.id = any(${ids as never}::uuid[]) and delivery.id between ${lowest} and ${highest}
    returning delivery.endpoint_id as endpoint`
  return rows.map(({ endpoint }) => endpoint)
}

type Retry = { delivery: DeliveryId; endpoint: EndpointId; at: Date }

function nearRetries(results: readonly Sent[], now: Date): Retry[] {
  return results.flatMap(({ prepared, settlement: { waitingFor, nextAttemptAt: at } }) =>
    waitingFor === 'RETRY' && at && at.getTime() - now.getTime() <= FARTHEST_RETRY_TICKET_MS
      ? [{ delivery: prepared.delivery.id, endpoint: prepared.delivery.endpointId, at }]
      : [],
  )
}

function retryTicket({ delivery, endpoint, at }: Retry, now: Date): Ticket {
  return { id: newId(now), data: { delivery, endpoint } satisfies RetryTicket, startAfter: at }
}

async function endpointsWithFewRetries(tx: Tx, retries: readonly Retry[]): Promise<Set<EndpointId>> {
  if (retries.length === 0) return new Set()
  const endpoints = [...new Set(retries.map(({ endpoint }) => endpoint))]
  const rows = await tx<{ id: EndpointId }[]>`
    select id from unnest(${endpoints as never}::uuid[]) endpoint (id)
    where (
      select count(*) from (
        select from postrider.deliveries where endpoint_id = endpoint.id and waiting_for = 'RETRY' limit ${MOST_RETRY_TICKETS}
      ) waiting
    ) < ${MOST_RETRY_TICKETS}`
  return new Set(rows.map(({ id }) => id))
}
