import type { JobInsert, PgBoss } from 'pg-boss'
import type { Queryable, Sql } from '../postgres/client.ts'
import { queueDatabase } from '../postgres/queue-adapter.ts'

/**
 * Tickets: small jobs that say "this may go now". The row they point to is the truth; a ticket is a hint.
 * `outbox` tickets name events to route, `deliver` tickets deliveries to send, `retry` tickets deliveries to admit later.
 */
export type TicketQueue = 'outbox' | 'deliver' | 'retry'

export type Ticket = {
  id: string
  /** Ids only, never a payload. */
  data: object
  /** Not before this moment; absent: now. */
  startAfter?: Date
  /** Higher goes first. */
  priority?: number
}

/** A ticket somebody has taken. `retryCount` is the fence: it counts the claims, so a later claim has another one. */
export type Claim<Data = Record<string, unknown>> = { id: string; retryCount: number; data: Data }

/** `more`: as many came as were asked for, so there may be more. */
export type Claimed<Data> = { claims: Claim<Data>[]; more: boolean }

/** Between which priorities to claim, both included; absent: no bound. */
export type Priorities = { leastPriority?: number; mostPriority?: number }

export type Tickets = {
  /** Adds tickets, in the caller's transaction. */
  enqueue(tx: Queryable, queue: TicketQueue, tickets: readonly Ticket[]): Promise<void>
  /** Takes up to `most` tickets that may go, highest priority first, each group oldest first. */
  claim<Data>(queue: TicketQueue, most: number, options?: Priorities): Promise<Claimed<Data>>
  /** Ends claims, in the caller's transaction. Returns the ids that were still ours; for the others somebody else took over. */
  finish(tx: Queryable, queue: TicketQueue, claims: readonly Claim[]): Promise<Set<string>>
  /** Whether somebody holds this ticket at the moment. */
  isClaimed(tx: Queryable, queue: TicketQueue, id: string): Promise<boolean>
  /**
   * A condition for the caller's statement: that a ticket with this id (a column) is still there. In one statement, because
   * rows and tickets are written together, and only its own snapshot shows both as they are.
   */
  isThere(tx: Queryable, queue: TicketQueue, id: ReturnType<Queryable>): ReturnType<Queryable>
  /** A query for the caller's statement: the ids of all events that `outbox` tickets name. */
  namedEvents(tx: Queryable): ReturnType<Queryable>
  /** Gives claims back unused; they can be taken again a second later. */
  release(queue: TicketQueue, claims: readonly Claim[]): Promise<void>
  /** Gives back every claim there is. Only for a process that knows it is the only one. Returns how many. */
  releaseAll(): Promise<number>
}

// pg-boss puts the batch size into the statement's text: a few sizes keep the prepared statements few.
const BATCH_SIZES = [1, 4, 16, 32, 64, 128, 256]
// The insert has no cap of its own and takes one JSON parameter.
const MOST_PER_INSERT = 2000
export const TICKET_QUEUES: readonly TicketQueue[] = ['outbox', 'deliver', 'retry']

export function createTickets(boss: PgBoss, sql: Sql, schema: string): Tickets {
  return {
    async enqueue(tx, queue, tickets) {
      const db = queueDatabase(tx)
      for (let at = 0; at < tickets.length; at += MOST_PER_INSERT) {
        await boss.insert(queue, tickets.slice(at, at + MOST_PER_INSERT) as JobInsert[], { db })
      }
    },
    async claim<Data>(queue: TicketQueue, most: number, { leastPriority, mostPriority }: Priorities = {}) {
      const batchSize = BATCH_SIZES.findLast((size) => size <= most) ?? 1
      const jobs = await boss.fetch<Data>(queue, {
        batchSize,
        ...(leastPriority === undefined ? {} : { minPriority: leastPriority }),
        ...(mostPriority === undefined ? {} : { maxPriority: mostPriority }),
      })
      return {
        claims: jobs.map(({ id, retryCount, data }) => ({ id, retryCount, data })),
        more: jobs.length === batchSize,
      }
    },
    async finish(tx, queue, claims) {
      if (claims.length === 0) return new Set()
      // The job objects, not their ids: they carry the fence. A bare id can end somebody else's newer claim.
      const answer = await boss.deleteJob(queue, claims as never, { db: queueDatabase(tx) })
      // Always there for deleteJob, but missing in the declared type.
      return new Set((answer as unknown as { settled: string[] | null }).settled)
    },
    async isClaimed(tx, queue, id) {
      const job = await boss.getJobById(queue, id, { db: queueDatabase(tx) })
      return job?.state === 'active'
    },
    isThere: (tx, queue, id) => tx`exists (
      select from ${tx(schema)}.job where job.name = ${queue} and job.id = ${id} and job.state < 'completed')`,
    namedEvents: (tx) => tx`
      select jsonb_array_elements_text(data->'events')::uuid as id from ${tx(schema)}.job
      where name = 'outbox' and state < 'completed'`,
    async release(queue, claims) {
      if (claims.length > 0) await boss.fail(queue, claims as never)
    },
    async releaseAll() {
      let released = 0
      for (const queue of TICKET_QUEUES) {
        const active = await sql<{ id: string; retryCount: number }[]>`
          select id, retry_count as "retryCount" from ${sql(schema)}.job where name = ${queue} and state = 'active'`
        if (active.length > 0) await boss.fail(queue, [...active] as never)
        released += active.length
      }
      return released
    },
  }
}
