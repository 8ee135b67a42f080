import { silentLog } from '../../src/log.ts'
import { makePartitions } from '../../src/retention/partitions.ts'
import { dropOldDays } from '../../src/retention/retain.ts'
import type { TimeCheck } from '../../src/retention/time-check.ts'
import { type EngineOptions, movableClock, startEngine } from '../support/engine.ts'

export const DAY_MS = 86_400_000

/** `20261121`, as in the names of partitions. */
export const dayName = (ms: number) => new Date(ms).toISOString().slice(0, 10).replaceAll('-', '')

/** An engine whose days pass as fast as a test wants, with the work that makes and drops their partitions. */
export async function retentionWorld(options: EngineOptions & { timeCheck?: TimeCheck } = {}) {
  const clock = movableClock()
  const engine = await startEngine({ clock, worker: false, ...options })
  const log = options.log ?? silentLog
  // Tests let a month pass in a moment.
  const timeCheck = options.timeCheck ?? (() => true)
  const retain = () => dropOldDays({ ...engine, log, timeCheck, patienceMs: 300, lockTimeoutMs: 300 })
  return {
    ...engine,
    clock,
    retain,
    /** Lets days pass without anything being dropped. */
    async pass(days: number) {
      clock.forward(days * DAY_MS)
      await makePartitions(engine.db.sql, clock.now())
    },
    /** The days of which a table has partitions, as in their names; also those that are not attached. */
    async daysOf(table: string): Promise<string[]> {
      const rows = await engine.db.sql<{ day: string }[]>`
        select right(relname, 8) as day from pg_class
        where relnamespace = 'postrider'::regnamespace and relkind = 'r' and relname ~ ${`^${table}_[0-9]{8}$`} order by 1`
      return rows.map(({ day }) => day)
    },
    async count(table: string): Promise<number> {
      const [row] = await engine.db.sql<[{ count: number }]>`
        select count(*)::int from ${engine.db.sql(`postrider.${table}`)}`
      return row.count
    },
  }
}

export type RetentionWorld = Awaited<ReturnType<typeof retentionWorld>>
