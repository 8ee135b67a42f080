import { PgBoss } from 'pg-boss'
import { createTrouble, type Log } from '../log.ts'
import type { Db } from '../postgres/client.ts'
import { queueDatabase } from '../postgres/queue-adapter.ts'
import { createScheduledWork, type ScheduledWork } from './schedule.ts'
import { createTickets, TICKET_QUEUES, type Tickets } from './tickets.ts'

export type Queue = {
  tickets: Tickets
  scheduledWork: ScheduledWork
  close(): Promise<void>
}

export type QueueOptions = {
  db: Db
  log: Log
  /** Whether this process expires dead claims, cleans up and runs scheduled work: workers do, an API alone does not. */
  supervise: boolean
  /** After how long a claim counts as dead. Just above buffer wait + request deadline + flush: 60 s for deadlines up to 30 s. */
  claimSeconds?: number
  /** How often claims are looked at for that. */
  superviseSeconds?: number
}

// Not pg-boss's default name: the producer's own tables, perhaps with a pg-boss of their own, live in the same database.
export const QUEUE_SCHEMA = 'postrider_queue'

/** Installs or updates the queue's tables and opens it. The caller holds the migration lock: installations must not meet. */
export async function openQueue({
  db,
  log,
  supervise,
  claimSeconds = 60,
  superviseSeconds = 10,
}: QueueOptions): Promise<Queue> {
  const boss = new PgBoss({
    db: queueDatabase(db.sql),
    schema: QUEUE_SCHEMA,
    supervise,
    schedule: supervise,
    superviseIntervalSeconds: superviseSeconds,
    monitorIntervalSeconds: superviseSeconds,
    maintenanceIntervalSeconds: 600,
  })
  // An EventEmitter without an `error` listener takes the process down with it.
  const trouble = createTrouble(log, { failing: 'The queue reports an error', working: 'The queue works again' })
  boss.on('error', (err) => trouble.failed(emittedError(err)))
  boss.on('warning', (warning) => log.debug({ warning }, 'The queue reports a warning'))
  await boss.start()
  await createQueues(boss, db, claimSeconds)
  return {
    tickets: createTickets(boss, db.sql, QUEUE_SCHEMA),
    scheduledWork: createScheduledWork(boss, log),
    close: () => boss.stop({ graceful: false, close: false }),
  }
}

/** Its workers emit what is left of an error when it was spread into a plain object. */
export function emittedError(emitted: unknown): Error {
  if (emitted instanceof Error) return emitted
  const { message, stack, code, queue } = (emitted ?? {}) as Record<string, unknown>
  const of = queue === undefined ? '' : ` (queue ${queue})`
  return Object.assign(new Error(`${message ?? emitted}${of}`), { code, stack })
}

async function createQueues(boss: PgBoss, db: Db, claimSeconds: number): Promise<void> {
  const options = {
    expireInSeconds: claimSeconds,
    // How often a claim may lapse or be given back: not the retry schedule, which is ours. Without bound: a ticket that fails
    // for good is one that its row waits for in vain, and a minute of failing transactions is enough for fifty tries.
    retryLimit: 1_000_000_000,
    retryDelay: 1,
    // Beyond the longest schedule: twenty delays of seven days.
    retentionSeconds: 150 * 86_400,
    deleteAfterSeconds: 3600,
  }
  for (const name of TICKET_QUEUES) {
    const existing = await boss.getQueue(name)
    if (existing) await boss.updateQueue(name, options)
    else await boss.createQueue(name, { ...options, policy: 'standard', partition: true, notify: false })
    const table = (await boss.getQueue(name))?.table
    // Tickets live for milliseconds: vacuum by count, not by share of the table, and without the default pause.
    await db.sql`alter table ${db.sql(QUEUE_SCHEMA)}.${db.sql(table as string)} set (
      autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
      autovacuum_analyze_scale_factor = 0.1, autovacuum_analyze_threshold = 5000, autovacuum_vacuum_cost_delay = 0)`
    // Makes pg-boss know the queue from now on. Otherwise the first transactions that add a ticket would each ask for it on
    // another connection, and wait for ever when those that wait are all the pool has.
    await boss.getJobById(name, '00000000-0000-0000-0000-000000000000')
  }
}
