import { lowestIdAt } from '../../schema/ids.ts'
import type { Sql, Tx } from '../postgres/client.ts'
import { LOCKS } from '../postgres/locks.ts'

/** The tables that are split by the UTC day of their ids. */
const PARTITIONED = ['events', 'event_payloads', 'deliveries', 'attempts', 'attempt_bodies'] as const
// Routing stamps `routed_at` on an event: with room on its page the row is updated in place, no index touched.
const SETTINGS: Partial<Record<(typeof PARTITIONED)[number], string>> = { events: 'with (fillfactor = 80)' }
const DAY_MS = 86_400_000
const DAYS_AHEAD = 14

/**
 * Makes the partitions of yesterday to two weeks ahead, where they are missing. Made as plain tables and then attached:
 * that takes no lock on the parent that a writer would wait for, which CREATE TABLE … PARTITION OF does.
 */
export async function makePartitions(sql: Sql, now: Date): Promise<void> {
  const today = Math.floor(now.getTime() / DAY_MS) * DAY_MS
  const days = Array.from({ length: DAYS_AHEAD + 2 }, (_, index) => today + (index - 1) * DAY_MS)
  // Table by table, each in one transaction: a kill in the middle leaves nothing half attached.
  for (const table of PARTITIONED) await sql.begin((tx) => makeMissing(tx, table, days))
}

async function makeMissing(tx: Tx, table: (typeof PARTITIONED)[number], days: readonly number[]): Promise<void> {
  // A process that starts may meet the scheduled work of another one.
  await tx`select pg_advisory_xact_lock(${LOCKS.partitions}::bigint)`
  const attached = await tx<{ name: string }[]>`
    select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = ${`postrider.${table}`}::regclass`
  const existing = new Set(attached.map((row) => row.name))
  const missing = days.filter((day) => !existing.has(partitionName(table, day)))
  if (missing.length > 0) await tx.unsafe(missing.map((day) => makePartition(table, day)).join('\n'))
}

function makePartition(table: (typeof PARTITIONED)[number], day: number): string {
  const name = partitionName(table, day)
  return `
    create table if not exists postrider.${name} (like postrider.${table} including all) ${SETTINGS[table] ?? ''};
    alter table postrider.${table} attach partition postrider.${name}
      for values from ('${lowestIdAt(day)}') to ('${lowestIdAt(day + DAY_MS)}');`
}

function partitionName(table: string, day: number): string {
  return `${table}_${new Date(day).toISOString().slice(0, 10).replaceAll('-', '')}`
}
