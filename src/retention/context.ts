import type { Log } from '../log.ts'
import type { Db } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import type { Retention } from '../postgres/days.ts'
import type { Tickets } from '../queue/tickets.ts'
import type { Wake } from '../queue/wake.ts'
import type { TimeCheck } from './time-check.ts'

export type RetentionContext = {
  db: Db
  tickets: Tickets
  wake: Wake
  clock: Clock
  log: Log
  retention: Retention
  timeCheck: TimeCheck
  /** For tests: how long events that were not routed in time are waited for, and locks that others hold. */
  patienceMs?: number
  lockTimeoutMs?: number
}
