import { randomUUID } from 'node:crypto'
import type { DeliveryId, EndpointId } from '../../schema/ids.ts'
import { cancelSomeDeliveries } from '../endpoints/cancel.ts'
import type { Log } from '../log.ts'
import { type Db, type Tx, toDate } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { again } from '../postgres/deadlock.ts'
import { together } from '../postgres/together.ts'
import type { Tickets } from '../queue/tickets.ts'
import type { Wake } from '../queue/wake.ts'
import { admit } from './admission.ts'
import { boundsOf, giveTickets, lockAllowances, setBacklog, type Ticketed, topUp } from './admit.ts'
import type { RetryTicket } from './settle.ts'

export type PromoterContext = { db: Db; tickets: Tickets; wake: Wake; clock: Clock; log: Log }

export type Promoter = {
  /** Something changed that it should look at: an endpoint was resumed, a backlog began. */
  nudge(): void
  /** A retry falls due then: look again at that moment. */
  expect(at: Date): void
  stop(): Promise<void>
}

const POLL_MS = 1000
// A timer may fire a moment early by the database's clock; then the retry would wait for the next poll.
const MARGIN_MS = 5
const MOST_PER_ROUND = 256
const MOST_ENDPOINTS_PER_ROUND = 200

/**
 * Turns what has fallen due into tickets, through the one gate of admission: retries whose time has come, and what waits
 * at endpoints in backlog. It reads the rows as well as the tickets, so a lost ticket or wake-up costs a moment, no more.
 */
export function createPromoter(context: PromoterContext): Promoter {
  const { log, wake, clock } = context
  let stopping = false
  let nudged = false
  let dueAt = Number.POSITIVE_INFINITY
  let wakeUp = () => {}

  const pause = () =>
    new Promise<void>((resolve) => {
      const untilDue = dueAt - clock.now().getTime() + MARGIN_MS
      const timer = setTimeout(resolve, Math.max(0, Math.min(POLL_MS, untilDue)))
      wakeUp = () => {
        clearTimeout(timer)
        resolve()
      }
    })

  const run = async () => {
    while (!stopping) {
      nudged = false
      if (dueAt <= clock.now().getTime()) dueAt = Number.POSITIVE_INFINITY
      try {
        const { admitted, nextDueAt } = await promote(context)
        if (admitted > 0) wake.signal('deliver')
        if (nextDueAt) dueAt = Math.min(dueAt, nextDueAt.getTime())
      } catch (err) {
        log.error({ err }, 'Due deliveries could not be admitted; trying again')
      }
      if (!nudged && !stopping) await pause()
    }
  }
  const running = run()

  return {
    nudge() {
      nudged = true
      wakeUp()
    },
    expect(at) {
      if (at.getTime() >= dueAt) return
      dueAt = at.getTime()
      // The pause under way may be longer: begin it anew.
      wakeUp()
    },
    async stop() {
      stopping = true
      wakeUp()
      await running
    },
  }
}

/** One pass over everything that is due: how many deliveries got tickets, and when the next retry falls due. */
export async function promote(context: PromoterContext): Promise<{ admitted: number; nextDueAt: Date | null }> {
  const byTicket = await promoteRetryTickets(context)
  const byRow = await promoteDueRows(context)
  const fromBacklog = await promoteBacklog(context)
  return { admitted: byTicket + byRow.admitted + fromBacklog, nextDueAt: byRow.nextDueAt }
}

async function promoteRetryTickets({ db, tickets, clock }: PromoterContext): Promise<number> {
  let admitted = 0
  for (;;) {
    const { claims, more } = await tickets.claim<RetryTicket>('retry', MOST_PER_ROUND)
    if (claims.length === 0) return admitted
    admitted += await db.transaction(async (tx) => {
      await tickets.finish(tx, 'retry', claims)
      const now = clock.now()
      const ids = claims.map(({ data }) => data.delivery).sort()
      const { lowest, highest } = boundsOf(ids)
      const rows = await tx<DueRow[]>`
        select id, endpoint_id as endpoint, scheduled_attempts_made = 0 as "firstAttempt" from postrider.deliveries
        where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest} and waiting_for = 'RETRY'
          -- A ticket may be left from an earlier wait; one that comes a moment early is made up for by the row.
          and next_attempt_at <= ${now.toISOString()}
        order by id for update`
      return admitDue(tx, tickets, rows, now)
    })
    if (!more) return admitted
  }
}

/** Retries that left no ticket, or lost it. */
async function promoteDueRows({
  db,
  tickets,
  clock,
}: PromoterContext): Promise<{ admitted: number; nextDueAt: Date | null }> {
  let admitted = 0
  for (;;) {
    const now = clock.now()
    const [first] = await db.sql<{ dueAt: string | null }[]>`
      select min(next_attempt_at) as "dueAt" from postrider.deliveries where waiting_for = 'RETRY'`
    const nextDueAt = toDate(first?.dueAt ?? null)
    if (nextDueAt === null || nextDueAt > now) return { admitted, nextDueAt }
    const found = await db.transaction(async (tx) => {
      const rows = await tx<DueRow[]>`
        select id, endpoint_id as endpoint, scheduled_attempts_made = 0 as "firstAttempt" from postrider.deliveries
        where waiting_for = 'RETRY' and next_attempt_at <= ${now.toISOString()}
        order by next_attempt_at limit ${MOST_PER_ROUND} for update skip locked`
      admitted += await admitDue(tx, tickets, rows, now)
      return rows.length
    })
    // The rest is locked by somebody who is about to admit it.
    if (found === 0) return { admitted, nextDueAt: null }
  }
}

type DueRow = { id: DeliveryId; endpoint: EndpointId; firstAttempt: boolean }

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

/**
 * Tops up endpoints in backlog that settling does not, because nothing of theirs is in flight, and ends backlogs; of deleted
 * endpoints it cancels what is left.
 */
async function promoteBacklog({ db, tickets, clock }: PromoterContext): Promise<number> {
  let admitted = 0
  let after = '00000000-0000-0000-0000-000000000000'
  for (;;) {
    const rows = await db.sql<{ id: EndpointId; deleted: boolean }[]>`
      select id, deleted_at is not null as deleted from postrider.endpoints
      where backlog and (state = 'ACTIVE' or deleted_at is not null) and id > ${after}
      order by id limit ${MOST_ENDPOINTS_PER_ROUND}`
    const living = rows.filter(({ deleted }) => !deleted).map(({ id }) => id)
    if (living.length > 0) {
      admitted += await db.transaction(async (tx) => {
        const allowances = await lockAllowances(tx, living, clock.now())
        const most = [...allowances].map(([endpoint, { maxInFlight }]) => ({ endpoint, most: maxInFlight }))
        const count = await topUp(tx, tickets, most, clock.now())
        await endBacklogs(tx, living)
        return count
      })
    }
    for (const { id, deleted } of rows) if (deleted) await finishDeletion(db, id, clock.now())
    if (rows.length < MOST_ENDPOINTS_PER_ROUND) return admitted
    after = rows.at(-1)?.id as string
  }
}

/** One bit of it at a time: the next pass goes on. */
async function finishDeletion(db: Db, endpoint: EndpointId, now: Date): Promise<void> {
  const all = await again(() => db.orm.transaction((tx) => cancelSomeDeliveries(tx, endpoint, now)))
  // Nothing new can come: routing leaves deleted endpoints out. A retry by hand that was just asked for sets the flag again.
  if (all) await db.sql`update postrider.endpoints set backlog = false where id = ${endpoint}`
}

/** Ends the backlog where nothing waits any more. Under the lock of the endpoints nobody can begin to wait meanwhile. */
async function endBacklogs(tx: Tx, endpoints: readonly EndpointId[]): Promise<void> {
  await tx`
    update postrider.endpoints endpoint set backlog = false
    where id = any(${endpoints as never}::uuid[]) and backlog and (
      -- With its limit it stays a look-up for each endpoint; NOT EXISTS may become a join with everything that waits.
      select id from postrider.deliveries where endpoint_id = endpoint.id and waiting_for = 'ALLOWANCE' limit 1
    ) is null`
}
