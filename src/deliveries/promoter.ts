import type { DeliveryId, EndpointId } from '../../schema/ids.ts'
import { LINES } from '../../schema/states.ts'
import { finishDeletion } from '../endpoints/cancel.ts'
import { createTrouble, type Log } from '../log.ts'
import { type Db, type Tx, toDate } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { boundsOf } from '../postgres/time-range.ts'
import { startLoop } from '../queue/loop.ts'
import type { Tickets } from '../queue/tickets.ts'
import type { Wake } from '../queue/wake.ts'
import { admitDue, type DueRow, lockEndpoints, topUp } from './admit.ts'
import { advanceLanes, blockedLanes } from './lanes.ts'
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
// After an outage a million may be due at once: each kind of work has so many rounds, and then it is the next one's turn.
const MOST_ROUNDS = 16

/**
 * Turns what has fallen due into tickets, through the one gate of admission: retries whose time has come, and what waits
 * at endpoints in backlog. It reads the rows as well as the tickets, so a lost ticket or wake-up costs a moment, no more.
 */
export function createPromoter(context: PromoterContext): Promoter {
  const { log, wake, clock } = context
  let dueAt = Number.POSITIVE_INFINITY
  const loop = startLoop({
    async look() {
      if (dueAt <= clock.now().getTime()) dueAt = Number.POSITIVE_INFINITY
      const { admitted, nextDueAt } = await promote(context)
      if (admitted > 0) wake.signal('deliver')
      if (nextDueAt) dueAt = Math.min(dueAt, nextDueAt.getTime())
      return Math.max(0, Math.min(POLL_MS, dueAt - clock.now().getTime() + MARGIN_MS))
    },
    trouble: createTrouble(log, {
      failing: 'Due deliveries could not be admitted; trying again',
      working: 'Due deliveries are admitted again',
    }),
  })
  return {
    nudge: loop.nudge,
    expect(at) {
      if (at.getTime() >= dueAt) return
      dueAt = at.getTime()
      loop.hurry()
    },
    stop: loop.stop,
  }
}

/** One pass over everything that is due: how many deliveries got tickets, and when the next retry falls due. */
export async function promote(context: PromoterContext): Promise<{ admitted: number; nextDueAt: Date | null }> {
  const byTicket = await promoteRetryTickets(context)
  const byRow = await promoteDueRows(context)
  const backlog = await promoteBacklog(context)
  // What is left of something goes on at once, after whatever else has fallen due meanwhile.
  const nextDueAt = byTicket.done && backlog.done ? byRow.nextDueAt : context.clock.now()
  return { admitted: byTicket.admitted + byRow.admitted + backlog.admitted, nextDueAt }
}

async function promoteRetryTickets({
  db,
  tickets,
  clock,
}: PromoterContext): Promise<{ admitted: number; done: boolean }> {
  let admitted = 0
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const { claims, more } = await tickets.claim<RetryTicket>('retry', MOST_PER_ROUND)
    if (claims.length === 0) return { admitted, done: true }
    admitted += await db.transaction(async (tx) => {
      await tickets.finish(tx, 'retry', claims)
      const now = clock.now()
      await lockEndpoints(tx, [...new Set(claims.map(({ data }) => data.endpoint))])
      const ids = claims.map(({ data }) => data.delivery).sort()
      const { lowest, highest } = boundsOf(ids)
      const rows = await tx<DueRow[]>`
        select id, endpoint_id as endpoint, scheduled_attempts_made = 0 and replay_id is null as "firstAttempt" from postrider.deliveries
        where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest} and waiting_for = 'RETRY'
          -- A ticket may be left from an earlier wait; one that comes a moment early is made up for by the row.
          and next_attempt_at <= ${now.toISOString()}
        order by id for update`
      return admitDue(tx, tickets, rows, now)
    })
    if (!more) return { admitted, done: true }
  }
  return { admitted, done: false }
}

/** Retries that left no ticket, or lost it. */
async function promoteDueRows({
  db,
  tickets,
  clock,
}: PromoterContext): Promise<{ admitted: number; nextDueAt: Date | null }> {
  let admitted = 0
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const now = clock.now()
    const [first] = await db.sql<{ dueAt: string | null }[]>`
      select min(next_attempt_at) as "dueAt" from postrider.deliveries where waiting_for = 'RETRY'`
    const nextDueAt = toDate(first?.dueAt ?? null)
    if (nextDueAt === null || nextDueAt > now) return { admitted, nextDueAt }
    const found = await db.transaction(async (tx) => {
      const due = await tx<{ id: DeliveryId; endpoint: EndpointId }[]>`
        select id, endpoint_id as endpoint from postrider.deliveries
        where waiting_for = 'RETRY' and next_attempt_at <= ${now.toISOString()}
        order by next_attempt_at limit ${MOST_PER_ROUND}`
      if (due.length === 0) return 0
      await lockEndpoints(tx, [...new Set(due.map(({ endpoint }) => endpoint))])
      const ids = due.map(({ id }) => id)
      const { lowest, highest } = boundsOf(ids)
      const rows = await tx<DueRow[]>`
        select id, endpoint_id as endpoint, scheduled_attempts_made = 0 and replay_id is null as "firstAttempt" from postrider.deliveries
        where id = any(${ids as never}::uuid[]) and id between ${lowest} and ${highest}
          and waiting_for = 'RETRY' and next_attempt_at <= ${now.toISOString()}
        order by next_attempt_at for update skip locked`
      admitted += await admitDue(tx, tickets, rows, now)
      return rows.length
    })
    // The rest is locked by somebody who is about to admit it.
    if (found === 0) return { admitted, nextDueAt: null }
  }
  return { admitted, nextDueAt: clock.now() }
}

/**
 * Tops up endpoints in backlog that settling does not, because nothing of theirs is in flight, and ends backlogs; of deleted
 * endpoints it cancels what is left.
 */
async function promoteBacklog(context: PromoterContext): Promise<{ admitted: number; done: boolean }> {
  const { db, clock } = context
  let admitted = 0
  let done = true
  let after = '00000000-0000-0000-0000-000000000000' as EndpointId
  for (;;) {
    const rows = await db.sql<{ id: EndpointId; deleted: boolean }[]>`
      select id, deleted_at is not null as deleted from postrider.endpoints
      where backlog and (state = 'ACTIVE' or deleted_at is not null) and id > ${after}
      order by id limit ${MOST_ENDPOINTS_PER_ROUND}`
    const living = rows.filter(({ deleted }) => !deleted).map(({ id }) => id)
    const topped = living.length === 0 ? { admitted: 0, toppedUp: [] } : await topUpBacklogs(context, living)
    admitted += topped.admitted
    const isLast = rows.length < MOST_ENDPOINTS_PER_ROUND && topped.toppedUp.length === living.length
    after = (topped.toppedUp.length < living.length ? topped.toppedUp : rows.map(({ id }) => id)).at(-1) ?? after
    for (const { id, deleted } of rows)
      if (deleted && id <= after && !(await finishDeletion(db, id, clock.now()))) done = false
    if (isLast) return { admitted, done }
  }
}

function topUpBacklogs({ db, tickets, clock }: PromoterContext, endpoints: readonly EndpointId[]) {
  return db.transaction(async (tx) => {
    await lockEndpoints(tx, endpoints)
    await unblockLanes(tx, tickets, endpoints, clock.now())
    const topped = await topUp(tx, tickets, endpoints, clock.now())
    await endBacklogs(tx, topped.toppedUp)
    return topped
  })
}

/** Lanes whose endpoint does not wait any more for what has failed. */
async function unblockLanes(tx: Tx, tickets: Tickets, endpoints: readonly EndpointId[], now: Date): Promise<void> {
  const blocked = await blockedLanes(tx, endpoints, MOST_PER_ROUND)
  const moved = await advanceLanes(tx, blocked)
  await admitDue(tx, tickets, moved, now)
}

/**
 * Ends the backlog where nothing waits any more, under a lock against everybody who may make something wait meanwhile. Where
 * somebody is just doing so it is not the time.
 */
async function endBacklogs(tx: Tx, endpoints: readonly EndpointId[]): Promise<void> {
  const quiet = await tx<{ id: EndpointId }[]>`
    select id from postrider.endpoints where id = any(${endpoints as never}::uuid[]) and ${nothingWaits(tx)}
    order by id for update skip locked`
  if (quiet.length === 0) return
  // Anew, with a snapshot taken after the locks.
  await tx`
    update postrider.endpoints set backlog = false
    where id = any(${quiet.map(({ id }) => id) as never}::uuid[]) and ${nothingWaits(tx)}`
}

function nothingWaits(tx: Tx) {
  // Of one that was deleted meanwhile, lanes wait as well: `finishDeletion` ends it.
  return tx`backlog and deleted_at is null and (
      -- With its limit it stays a look-up for each endpoint; NOT EXISTS may become a join with everything that waits.
      select id from postrider.deliveries where endpoint_id = endpoints.id and waiting_for = any(${LINES as never}::text[]) limit 1
    ) is null and not exists (
      select from postrider.lanes
      where endpoint_id = endpoints.id and blocked and endpoints.on_blocked = 'SKIP_AFTER_FAILED'
    )`
}
