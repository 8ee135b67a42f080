import type { TenantId } from '../schema/ids.ts'
import { createDispatcher } from './deliveries/dispatcher.ts'
import { createPromoter } from './deliveries/promoter.ts'
import { createSettleBuffer } from './deliveries/settle-buffer.ts'
import type { Egress } from './egress/request.ts'
import type { HealthRules } from './endpoints/health.ts'
import { dropExpiredKeys } from './events/idempotency.ts'
import type { Log } from './log.ts'
import type { Db } from './postgres/client.ts'
import type { Clock } from './postgres/clock.ts'
import type { Retention } from './postgres/days.ts'
import type { Queue } from './queue/open.ts'
import type { Wake } from './queue/wake.ts'
import { makePartitions } from './retention/partitions.ts'
import { dropOldDays } from './retention/retain.ts'
import { createRouter } from './routing/router.ts'
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
}

export type Worker = {
  /** Claims nothing more, finishes what is in flight, settles it. What is left at the deadline is claimed again by others. */
  stop(deadline: Date): Promise<void>
}

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
}: WorkerContext): Promise<Worker> {
  const { tickets, scheduledWork } = queue
  const common = { db, sql: db.sql, tickets, wake, clock, log }
  // Before anything runs that would have to be stopped if this fails.
  await scheduledWork.every('make-partitions', '17 * * * *', () => makePartitions(db.sql, clock.now()))
  await scheduledWork.every('drop-expired-idempotency-keys', '*/10 * * * *', () => dropExpiredKeys(db.sql, clock.now()))
  await scheduledWork.every('drop-old-days', '*/15 * * * *', () => dropOldDays({ ...common, retention }))
  const promoter = createPromoter(common)
  const settling = createSettleBuffer({
    ...common,
    healthRules,
    onRetryScheduled: promoter.expect,
    onSettled: () => dispatcher.roomFreed(),
  })
  const dispatcher = createDispatcher({ ...common, egress, sealer, concurrency, settling })
  const router = createRouter({ ...common, operationsTenantId })
  const silence = [
    wake.on('outbox', router.nudge),
    wake.on('deliver', dispatcher.nudge),
    wake.on('promote', promoter.nudge),
  ]

  return {
    async stop(deadline) {
      for (const stop of silence) stop()
      await Promise.all([router.stop(), promoter.stop(), dispatcher.stop(deadline)])
      await settling.drain(deadline)
    },
  }
}
