import type { TenantId } from '../schema/ids.ts'
import { createAccessTokens } from './deliveries/access-tokens.ts'
import { createDispatcher } from './deliveries/dispatcher.ts'
import { createPromoter } from './deliveries/promoter.ts'
import { createSettleBuffer, type SettleBuffer } from './deliveries/settle-buffer.ts'
import { sweepDeliveries } from './deliveries/sweep.ts'
import type { Egress } from './egress/request.ts'
import type { HealthRules } from './endpoints/health.ts'
import { eraseEndedSecrets } from './endpoints/secrets.ts'
import { eraseEndedSigningKeys } from './endpoints/signing-keys.ts'
import { dropExpiredKeys } from './events/idempotency.ts'
import type { Log } from './log.ts'
import type { Db } from './postgres/client.ts'
import type { Clock } from './postgres/clock.ts'
import type { Retention } from './postgres/days.ts'
import type { Queue } from './queue/open.ts'
import type { Tickets } from './queue/tickets.ts'
import type { Wake } from './queue/wake.ts'
import { createReplayRunner } from './replays/runner.ts'
import { keepMakingPartitions } from './retention/partitions.ts'
import { dropOldDays } from './retention/retain.ts'
import { createTimeCheck } from './retention/time-check.ts'
import { createRouter } from './routing/router.ts'
import { sweepEvents } from './routing/sweep.ts'
import type { Sealer } from './sealing/sealer.ts'
import { dropExpiredSessions } from './tenants/portal-sessions.ts'

export type WorkerContext = {
  db: Db
  queue: Queue
  wake: Wake
  clock: Clock
  log: Log
  egress: Egress
  sealer: Sealer
  /** Requests in flight. */
  concurrency: number
  healthRules: HealthRules
  retention: Retention
  operationsTenantId: TenantId
  /** How many deliveries a replay hands over in a second; for tests that have no time. */
  replaysPerSecond?: number
}

export type Worker = {
  /** Claims nothing more, finishes what is in flight, settles it. What is left at the deadline is given back. */
  stop(deadline: Date): Promise<Finished>
}

/** What became of the deliveries that were in flight when a stop began. */
export type Finished = { finished: number; givenBack: number }

// Kept of the time there is, to record what came of the last requests.
const MOST_SETTLE_MS = 3000

/** Everything that moves events along, from the outbox to the last attempt. */
export async function startWorker({
  db,
  queue,
  wake,
  clock,
  log,
  egress,
  sealer,
  concurrency,
  healthRules,
  retention,
  operationsTenantId,
  replaysPerSecond,
}: WorkerContext): Promise<Worker> {
  const { tickets, scheduledWork } = queue
  const common = { db, sql: db.sql, tickets, wake, clock, log }
  const retaining = { ...common, retention, timeCheck: createTimeCheck(log) }
  // Before anything runs that would have to be stopped if this fails.
  await scheduledWork.every('drop-expired', '*/10 * * * *', () => dropExpired(common))
  await scheduledWork.every('sweep', '*/10 * * * *', () => sweep(common))
  await scheduledWork.every('drop-old-days', '*/15 * * * *', () => dropOldDays(retaining))
  const stopMakingPartitions = keepMakingPartitions(db.sql, clock, log)
  const promoter = createPromoter(common)
  const settling = createSettleBuffer({
    ...common,
    healthRules,
    onRetryScheduled: promoter.expect,
    onSettled: () => dispatcher.roomFreed(),
  })
  const tally = createTally(tickets, settling)
  const tokens = createAccessTokens({ egress, clock })
  const dispatcher = createDispatcher({ ...common, ...tally.counted, egress, tokens, sealer, concurrency })
  const router = createRouter({ ...common, operationsTenantId })
  const replays = createReplayRunner({
    ...common,
    operationsTenantId,
    ...(replaysPerSecond ? { perSecond: replaysPerSecond } : {}),
  })
  const silence = [
    wake.on('outbox', router.nudge),
    wake.on('deliver', dispatcher.nudge),
    wake.on('promote', promoter.nudge),
    wake.on('replays', replays.nudge),
  ]

  let stopping: Promise<Finished> | null = null
  const stop = async (deadline: Date) => {
    tally.begin()
    for (const end of silence) end()
    const settleMs = Math.min(MOST_SETTLE_MS, (deadline.getTime() - Date.now()) / 4)
    const lastAnswer = new Date(deadline.getTime() - settleMs)
    await Promise.all([router.stop(), replays.stop(), promoter.stop(), dispatcher.stop(lastAnswer)])
    await settling.drain(deadline)
    stopMakingPartitions()
    return tally.end()
  }

  return { stop: (deadline) => (stopping ??= stop(deadline)) }
}

/** Counts what becomes of requests from `begin` on: between the dispatcher and those it hands them to. */
function createTally(tickets: Tickets, settling: SettleBuffer) {
  let counts: Finished | null = null
  return {
    counted: {
      tickets: {
        ...tickets,
        async release(...[queue, claims]: Parameters<Tickets['release']>) {
          await tickets.release(queue, claims)
          if (counts) counts.givenBack += claims.length
        },
      },
      settling: {
        ...settling,
        add(result: Parameters<SettleBuffer['add']>[0]) {
          if (counts) counts.finished++
          settling.add(result)
        },
      },
    },
    begin() {
      counts = { finished: settling.size(), givenBack: 0 }
    },
    /** What could not be settled in time is not finished: its claims lapse, and it is sent again. */
    end: (): Finished => ({
      finished: (counts?.finished ?? 0) - settling.size(),
      givenBack: counts?.givenBack ?? 0,
    }),
  }
}

/** What has expired and is of no use to anybody: idempotency keys, portal sessions, secrets and keys that sign no more. */
async function dropExpired({ db, clock }: { db: Db; clock: Clock }): Promise<void> {
  await dropExpiredKeys(db.sql, clock.now())
  await dropExpiredSessions(db.orm, clock.now())
  await eraseEndedSecrets(db.sql, clock.now())
  await eraseEndedSigningKeys(db.sql, clock.now())
}

/** Sets on their way what was lost sight of: a warning each time, for it should never be anything. */
async function sweep(context: { db: Db; tickets: Tickets; wake: Wake; clock: Clock; log: Log }): Promise<void> {
  const events = await sweepEvents(context)
  const found = { events, ...(await sweepDeliveries(context)) }
  if (Object.values(found).every((count) => count === 0)) return
  context.log.warn({ found }, 'Events or deliveries had been lost sight of; they are on their way again')
  context.wake.signal('outbox')
  context.wake.signal('promote')
}
