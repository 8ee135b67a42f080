import { type DeliveryId, type EndpointId, newId } from '../../schema/ids.ts'
import { withoutEchoes } from '../attempts/expunged.ts'
import { recordAttempts } from '../attempts/record.ts'
import type { HealthRules } from '../endpoints/health.ts'
import { announce, type News } from '../events/operational.ts'
import type { Db, Tx } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { together } from '../postgres/together.ts'
import type { Ticket, Tickets } from '../queue/tickets.ts'
import { admitDue, boundsOf, chooseWaiting, giveTickets, setBacklog, type Ticketed, topUp } from './admit.ts'
import { deadLetters, judgeEndpoints } from './consequences.ts'
import { advanceLanes, blockLanes, type Ended } from './lanes.ts'
import type { Sent } from './send.ts'

export type SettleContext = { db: Db; tickets: Tickets; clock: Clock; healthRules: HealthRules }

/** What a `retry` ticket says. */
export type RetryTicket = { delivery: DeliveryId; endpoint: EndpointId }

export type SettleReport = {
  /** How many waiting deliveries got the tickets that were used up. */
  admitted: number
  /** When the first of the retries scheduled here is due. */
  nextRetryAt: Date | null
  /** What was announced of endpoints and deliveries. */
  news: News[]
}

// Beyond either, the row alone remembers: the promoter finds it when it is due.
const FARTHEST_RETRY_TICKET_MS = 3_600_000
const MOST_RETRY_TICKETS = 1000
// More than deadlocks take to be noticed. Whoever holds the row of one endpoint for longer must not hold up everybody's results.
const LOCK_TIMEOUT_MS = 2000

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
  { db, tickets, clock, healthRules }: SettleContext,
  results: readonly Sent[],
  lost: Set<string>,
): Promise<SettleReport> {
  const ours = lastOfEachTicket(results).filter(({ prepared }) => !lost.has(prepared.claim.id))
  const now = clock.now()
  const retries = nearRetries(ours, now)
  const parking = ours
    .filter(({ settlement }) => settlement.waitingFor === 'ALLOWANCE' || settlement.waitingFor === 'REPLAY')
    .map(endpointOf)
  const serial = [...new Set(ours.filter(isSerial).map(endpointOf))]
  return db.transaction(async (tx) => {
    // Endpoints are locked first, deliveries after them, as by everybody else: a retry by hand never waits for what waits for it.
    const [, endpointNews, finished, freed, chosen, roomy] = await together([
      // Sent at once: the others wait for a turn before they are.
      tx.unsafe(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`).execute(),
      judgeEndpoints(tx, ours, [...parking, ...serial], healthRules, now),
      tickets.finish(
        tx,
        'deliver',
        ours.map(({ prepared }) => prepared.claim),
      ),
      updateDeliveries(tx, ours, now),
      // Places at endpoints with lanes or a rate are given out below, under their locks.
      chooseWaiting(tx, countEach(ours.filter((sent) => !isSerial(sent)).map(endpointOf)), now, { locked: false }),
      endpointsWithFewRetries(tx, retries),
    ])
    const missing = ours.map(({ prepared }) => prepared.claim.id).filter((id) => !finished.has(id))
    if (missing.length > 0) throw new ClaimsLost(new Set(missing))
    const admitted = within(chosen, countEach(freed.map(({ endpoint }) => endpoint)))
    const settled = new Set(freed.map(({ delivery }) => delivery))
    const ended = ours.filter(({ prepared }) => settled.has(prepared.delivery.id))
    await countCancelled(
      tx,
      ours.filter(({ prepared }) => !settled.has(prepared.delivery.id)),
    )
    const news = [...endpointNews, ...deadLetters(ended)]
    const toppedUp = await admitSerially(tx, tickets, ended, serial, now)
    await announce(tx, tickets, news, now)
    // Whose delivery is not what it was may be of an event that was expunged meanwhile.
    const over = new Set(ended)
    const strays = results.filter((result) => !over.has(result)).map(({ attempt }) => attempt)
    const attempts = [...ended.map(({ attempt }) => attempt), ...(await withoutEchoes(tx, strays))]
    await together([
      setBacklog(tx, parking, true),
      giveTickets(tx, tickets, admitted),
      tickets.enqueue(
        tx,
        'retry',
        retries.filter(({ endpoint }) => roomy.has(endpoint)).map((retry) => retryTicket(retry, now)),
      ),
      // Last: it takes the lock under which attempts get their positions, and keeps it to the commit.
      recordAttempts(tx, attempts),
    ])
    const firstRetry = Math.min(...retries.map(({ at }) => at.getTime()))
    return { admitted: admitted.length + toppedUp, nextRetryAt: retries.length > 0 ? new Date(firstRetry) : null, news }
  })
}

/**
 * While the database is away, a claim may lapse before its result is settled; then this very process may take the ticket again,
 * and have both results in one batch. The ticket's id is the same: only the last claim of it can be ours.
 */
function lastOfEachTicket(results: readonly Sent[]): readonly Sent[] {
  const last = new Map<string, Sent>()
  for (const result of results) {
    const { id, retryCount } = result.prepared.claim
    if (retryCount >= (last.get(id)?.prepared.claim.retryCount ?? 0)) last.set(id, result)
  }
  return last.size === results.length ? results : [...last.values()]
}

/** Whether its endpoint's places are given out one after another, under its lock. */
const isSerial = ({ prepared: { delivery, endpoint } }: Sent) =>
  endpoint.ratePerSecond !== null || endpoint.ordering !== 'NONE' || delivery.lane !== null

/** Gives their turn to those who come next in the lanes, and what was freed to endpoints with lanes or a rate. */
async function admitSerially(
  tx: Tx,
  tickets: Tickets,
  results: readonly Sent[],
  serial: readonly EndpointId[],
  now: Date,
): Promise<number> {
  if (serial.length === 0) return 0
  const inLanes = results.filter(
    ({ prepared, settlement }) => prepared.delivery.lane !== null && settlement.state !== 'PENDING',
  )
  const waiting = await endpointsThatWait(tx, serial)
  const blocks = ({ prepared, settlement }: Sent) =>
    settlement.state === 'FAILED' && waiting.has(prepared.delivery.endpointId)
  const moved = await advanceLanes(tx, inLanes.filter((result) => !blocks(result)).map(endedOf))
  await blockLanes(tx, inLanes.filter(blocks).map(endedOf))
  const admitted = await admitDue(tx, tickets, moved, now)
  const toppedUp = await topUp(tx, tickets, serial, now)
  return admitted + toppedUp.admitted
}

/** Those whose lanes wait for what has failed. Read under their lock: it may have been changed since they were prepared. */
async function endpointsThatWait(tx: Tx, endpoints: readonly EndpointId[]): Promise<Set<EndpointId>> {
  const rows = await tx<{ id: EndpointId }[]>`
    select id from postrider.endpoints where id = any(${endpoints as never}::uuid[]) and on_blocked = 'WAIT'`
  return new Set(rows.map(({ id }) => id))
}

function endedOf({ prepared: { delivery } }: Sent): Ended {
  return { endpoint: delivery.endpointId, lane: delivery.lane as string, delivery: delivery.id }
}

const endpointOf = ({ prepared }: Sent): EndpointId => prepared.delivery.endpointId

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

type Freed = { delivery: DeliveryId; endpoint: EndpointId }

/**
 * One statement for the batch. A delivery whose row names another ticket (it was cancelled meanwhile) is left alone.
 * Returns those that were not, each of which has used up a ticket of its endpoint. Not `ticket_id = …`: that would let the
 * planner read the index of all deliveries with a ticket instead of these by their ids (7 ms per 100 instead of 2).
 */
async function updateDeliveries(tx: Tx, results: readonly Sent[], now: Date): Promise<Freed[]> {
  if (results.length === 0) return []
  // In one order, so that two transactions never wait for each other.
  const sorted = [...results].sort((a, b) => (a.prepared.delivery.id < b.prepared.delivery.id ? -1 : 1))
  const ids = sorted.map(({ prepared }) => prepared.delivery.id)
  const { lowest, highest } = boundsOf(ids)
  const column = <T>(pick: (result: Sent) => T) => sorted.map(pick) as never
  return tx<Freed[]>`
    update postrider.deliveries delivery set
      state = result.state, failed_reason = case when result.state = 'FAILED' then coalesce(failed_reason, 'EXHAUSTED') end,
      waiting_for = result.waiting_for, next_attempt_at = result.next_attempt_at, ticket_id = null,
      requested_trigger = null, requested_at = null,
      replay_id = case when result.state = 'PENDING' then replay_id end, last_attempt_id = result.attempt_id,
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
    returning delivery.id as delivery, delivery.endpoint_id as endpoint`
}

/** Attempts of deliveries that were cancelled while they were in flight: made, on record, and without consequences. */
async function countCancelled(tx: Tx, results: readonly Sent[]): Promise<void> {
  if (results.length === 0) return
  const ids = results.map(({ prepared }) => prepared.delivery.id)
  const { lowest, highest } = boundsOf(ids)
  await tx`
    update postrider.deliveries delivery set attempts_made = attempts_made + 1, last_attempt_id = result.attempt_id
    from unnest(${ids as never}::uuid[], ${results.map(({ attempt }) => attempt.id) as never}::uuid[]) as result (id, attempt_id)
    where delivery.id = result.id and delivery.id = any(${ids as never}::uuid[]) and delivery.id between ${lowest} and ${highest}`
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
