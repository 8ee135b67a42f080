import { lowestIdAt } from '../../schema/ids.ts'
import { createTrouble, type Log } from '../log.ts'
import type { Queryable, Sql, Tx } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { DAY_MS, dayOf } from '../postgres/days.ts'
import { LOCKS } from '../postgres/locks.ts'

/** The tables that are split by the UTC day of their ids. */
const PARTITIONED = ['events', 'event_payloads', 'deliveries', 'attempts', 'attempt_bodies'] as const
export type PartitionedTable = (typeof PARTITIONED)[number]

/** `PENDING`: it is hidden already, and its detachment has to be finished. */
export type Partition = {
  table: PartitionedTable
  name: string
  day: number
  state: 'ATTACHED' | 'PENDING' | 'DETACHED'
}

// Routing stamps `routed_at` on an event: with room on its page the row is updated in place, no index touched.
const SETTINGS: Partial<Record<PartitionedTable, string>> = { events: 'with (fillfactor = 80)' }
const DAYS_AHEAD = 14
const DAYS_LEFT = 7
const LOOK_MS = 1000
const AGAIN_MS = 10_000

/**
 * Makes the partitions of yesterday to two weeks ahead, where they are missing. Made as plain tables and then attached:
 * that takes no lock on the parent that a writer would wait for, which CREATE TABLE … PARTITION OF does.
 */
export async function makePartitions(sql: Sql, now: Date): Promise<void> {
  const today = dayOf(now.getTime())
  const days = Array.from({ length: DAYS_AHEAD + 2 }, (_, index) => today + (index - 1) * DAY_MS)
  // Table by table, each in one transaction: a kill in the middle leaves nothing half attached.
  for (const table of PARTITIONED) await sql.begin((tx) => makeMissing(tx, table, days))
}

/**
 * Makes them anew when a week is left of those that were made at the start, and at once when the clock says a day that is none
 * of them: a machine that slept for weeks cannot record anything. Nothing else asks the database. Returns how to end it.
 */
export function keepMakingPartitions(
  sql: Sql,
  clock: Clock,
  log: Log,
  { lookMs = LOOK_MS, againMs = AGAIN_MS }: { lookMs?: number; againMs?: number } = {},
): () => void {
  const trouble = createTrouble(log, {
    failing: 'Partitions could not be made; trying again',
    working: 'Partitions are made again',
  })
  let madeAt = dayOf(clock.now().getTime())
  let notBefore = 0
  let underWay = false
  let ended = false
  const look = async () => {
    const today = dayOf(clock.now().getTime())
    const isNear = today >= madeAt - DAY_MS && today <= madeAt + DAYS_LEFT * DAY_MS
    if (isNear || underWay || performance.now() < notBefore) return
    underWay = true
    try {
      await makePartitions(sql, new Date(today))
      madeAt = today
      trouble.over()
    } catch (err) {
      notBefore = performance.now() + againMs
      if (!ended) trouble.failed(err)
    }
    underWay = false
  }
  const timer = setInterval(() => void look(), lookMs)
  return () => {
    ended = true
    clearInterval(timer)
  }
}

async function makeMissing(tx: Tx, table: PartitionedTable, days: readonly number[]): Promise<void> {
  // A process that starts may meet the scheduled work of another one.
  await tx`select pg_advisory_xact_lock(${LOCKS.partitions}::bigint)`
  const attached = await tx<{ name: string }[]>`
    select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = ${`postrider.${table}`}::regclass`
  const existing = new Set(attached.map((row) => row.name))
  const missing = days.filter((day) => !existing.has(partitionName(table, day)))
  if (missing.length > 0) await tx.unsafe(missing.map((day) => makePartition(table, day)).join('\n'))
}

function makePartition(table: PartitionedTable, day: number): string {
  const name = partitionName(table, day)
  return `
    create table if not exists postrider.${name} (like postrider.${table} including all) ${SETTINGS[table] ?? ''};
    alter table postrider.${table} attach partition postrider.${name}
      for values from ('${lowestIdAt(day)}') to ('${lowestIdAt(day + DAY_MS)}');`
}

function partitionName(table: string, day: number): string {
  return `${table}_${new Date(day).toISOString().slice(0, 10).replaceAll('-', '')}`
}

/** Every partition there is, also what a process that died has left of one; oldest first. */
export async function listPartitions(sql: Queryable): Promise<Partition[]> {
  const rows = await sql<(Omit<Partition, 'day'> & { day: string })[]>`
    select left(c.relname, -9) as table, c.relname as name, right(c.relname, 8) as day,
      case when i.inhrelid is null then 'DETACHED' when i.inhdetachpending then 'PENDING' else 'ATTACHED' end as state
    from pg_class c left join pg_inherits i on i.inhrelid = c.oid
    where c.relnamespace = 'postrider'::regnamespace and c.relkind = 'r'
      and c.relname ~ ${`^(${PARTITIONED.join('|')})_[0-9]{8}$`}
    order by day`
  return rows.map(({ day, ...row }) => ({ ...row, day: Date.parse(day.replace(/(....)(..)(..)/, '$1-$2-$3')) }))
}
