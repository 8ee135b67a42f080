import type { TenantId } from '../schema/ids.ts'
import { createAccessTokens } from './deliveries/access-tokens.ts'
import { createDispatcher } from './deliveries/dispatcher.ts'
import { createPromoter } from './deliveries/promoter.ts'
import { createSettleBuffer } from './deliveries/settle-buffer.ts'
import { sweepDeliveries } from './deliveries/sweep.ts'
import type { Egress } from './egress/request.ts'
import type { HealthRules } from './endpoints/health.ts'
import { dropExpiredKeys } from './events/idempotency.ts'
import type { Log } from './log.ts'
import type { Db } from './postgres/client.ts'
import type { Clock } from './postgres/clock.ts'
import type { Retention } from './postgres/days.ts'
import type { Queue } from './queue/open.ts'
import type { Tickets } from './queue/tickets.ts'
import type { Wake } from './queue/wake.ts'
import { createReplayRunner } from './replays/runner.ts'
import { makePartitions } from './retention/partitions.ts'
import { dropOldDays } from './retention/retain.ts'
import { createRouter } from './routing/router.ts'
import { sweepEvents } from './routing/sweep.ts'
import type { Sealer } from './sealing/sealer.ts'

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
  stop(deadline: Date): Promise<void>
}

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
  // Before anything runs that would have to be stopped if this fails.
  await scheduledWork.every('make-partitions', '17 * * * *', () => makePartitions(db.sql, clock.now()))
  await scheduledWork.every('drop-expired-idempotency-keys', '*/10 * * * *', () => dropExpiredKeys(db.sql, clock.now()))
  await scheduledWork.every('sweep', '*/10 * * * *', () => sweep(common))
  await scheduledWork.every('drop-old-days', '*/15 * * * *', () => dropOldDays({ ...common, retention }))
  const promoter = createPromoter(common)
  const settling = createSettleBuffer({
    ...common,
    healthRules,
    onRetryScheduled: promoter.expect,
    onSettled: () => dispatcher.roomFreed(),
  })
  const tokens = createAccessTokens({ egress, clock })
  const dispatcher = createDispatcher({ ...common, egress, tokens, sealer, concurrency, settling })
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

  let stopping: Promise<void> | null = null
  const stop = async (deadline: Date) => {
    for (const stop of silence) stop()
    const settleMs = Math.min(MOST_SETTLE_MS, (deadline.getTime() - Date.now()) / 4)
    const lastAnswer = new Date(deadline.getTime() - settleMs)
    await Promise.all([router.stop(), replays.stop(), promoter.stop(), dispatcher.stop(lastAnswer)])
    await settling.drain(deadline)
  }

  return {
    stop(deadline) {
      stopping ??= stop(deadline)
      return stopping
    },
  }
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
