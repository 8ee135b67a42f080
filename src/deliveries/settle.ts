import type { DeliveryId, EndpointId } from '../../schema/ids.ts'
import { newId } from '../../schema/ids.ts'
import { recordAttempts } from '../attempts/record.ts'
import type { Db, Tx } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import type { Ticket, Tickets } from '../queue/tickets.ts'
import { boundsOf, setBacklog, topUp } from './admit.ts'
import type { Sent } from './send.ts'

export type SettleContext = { db: Db; tickets: Tickets; clock: Clock }

/** What a `retry` ticket says. */
export type RetryTicket = { delivery: DeliveryId; endpoint: EndpointId }

export type SettleReport = {
  /** How many waiting deliveries got the tickets that were used up. */
  admitted: number
  /** When the first of the retries scheduled here is due. */
  nextRetryAt: Date | null
}

// Beyond either, the row alone remembers: the promoter finds it when it is due.
const FARTHEST_RETRY_TICKET_MS = 3_600_000
const MOST_RETRY_TICKETS = 1000

/** Records what came of some attempts and what is next for their deliveries: all of it or nothing. */
export async function settle({ db, tickets, clock }: SettleContext, results: readonly Sent[]): Promise<SettleReport> {
  return db.transaction(async (tx) => {
    const finished = await tickets.finish(
      tx,
      'deliver',
      results.map(({ prepared }) => prepared.claim),
    )
    const ours = results.filter(({ prepared }) => finished.has(prepared.claim.id))
    const freed = await updateDeliveries(tx, ours, clock.now())
    const retries = await enqueueRetries(tx, tickets, ours, clock.now())
    await setBacklog(tx, ours.filter(({ settlement }) => settlement.waitingFor === 'ALLOWANCE').map(endpointOf), true)
    const admitted = await topUp(tx, tickets, countEach(freed), clock.now())
    // Last: it takes the lock under which attempts get their positions, and keeps it to the commit.
    await recordAttempts(
      tx,
      results.map(({ attempt }) => attempt),
    )
    return { admitted, nextRetryAt: retries }
  })
}

const endpointOf = ({ prepared }: Sent): EndpointId => prepared.delivery.endpointId

function countEach(endpoints: readonly EndpointId[]): { endpoint: EndpointId; most: number }[] {
  const counts = new Map<EndpointId, number>()
  for (const endpoint of endpoints) counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1)
  return [...counts].map(([endpoint, most]) => ({ endpoint, most }))
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

/** Leaves tickets for near retries; returns when the first retry is due. */
async function enqueueRetries(tx: Tx, tickets: Tickets, results: readonly Sent[], now: Date): Promise<Date | null> {
  const due = results.flatMap((result) => {
    const { waitingFor, nextAttemptAt } = result.settlement
    return waitingFor === 'RETRY' && nextAttemptAt ? [{ delivery: result.prepared.delivery, at: nextAttemptAt }] : []
  })
  const near = due.filter(({ at }) => at.getTime() - now.getTime() <= FARTHEST_RETRY_TICKET_MS)
  if (near.length === 0) return null
  const roomy = await endpointsWithFewRetries(tx, [...new Set(near.map(({ delivery }) => delivery.endpointId))])
  const made = near.flatMap(({ delivery, at }): Ticket[] => {
    const data = { delivery: delivery.id, endpoint: delivery.endpointId } satisfies RetryTicket
    return roomy.has(delivery.endpointId) ? [{ id: newId(now), data, startAfter: at }] : []
  })
  await tickets.enqueue(tx, 'retry', made)
  return new Date(Math.min(...near.map(({ at }) => at.getTime())))
}

async function endpointsWithFewRetries(tx: Tx, endpoints: readonly EndpointId[]): Promise<Set<EndpointId>> {
  const rows = await tx<{ id: EndpointId }[]>`
    select id from unnest(${endpoints as never}::uuid[]) endpoint (id)
    where (
      select count(*) from (
        select from postrider.deliveries where endpoint_id = endpoint.id and waiting_for = 'RETRY' limit ${MOST_RETRY_TICKETS}
      ) waiting
    ) < ${MOST_RETRY_TICKETS}`
  return new Set(rows.map(({ id }) => id))
}
