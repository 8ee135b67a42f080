import { expect, onTestFinished, test, vi } from 'vitest'
import { newId } from '../../schema/ids.ts'
import { silentLog } from '../../src/log.ts'
import { keepMakingPartitions, makePartitions } from '../../src/retention/partitions.ts'
import { receiverOf } from '../egress/world.ts'
import { openDatabase } from '../support/database.ts'
import { movableClock, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

const DAY_MS = 86_400_000
const TABLES = ['events', 'event_payloads', 'deliveries', 'attempts', 'attempt_bodies']

const dayOf = (date: Date) => date.toISOString().slice(0, 10).replaceAll('-', '')

async function partitions(sql: Awaited<ReturnType<typeof openDatabase>>['sql'], table: string): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = ${`postrider.${table}`}::regclass order by 1`
  return rows.map(({ name }) => name)
}

test('there is a partition for each day from yesterday to two weeks ahead, however often they are made', async () => {
  const { sql } = await openDatabase()
  const now = new Date(Date.now() + 100 * DAY_MS)
  await makePartitions(sql, now)
  const expected = Array.from({ length: 16 }, (_, i) => dayOf(new Date(now.getTime() + (i - 1) * DAY_MS)))
  for (const table of TABLES) {
    const names = (await partitions(sql, table)).filter((name) => name >= `${table}_${expected[0]}`)
    expect(names).toEqual(expected.map((day) => `${table}_${day}`))
  }
  const before = await Promise.all(TABLES.map((table) => partitions(sql, table)))
  await makePartitions(sql, now)
  expect(await Promise.all(TABLES.map((table) => partitions(sql, table)))).toEqual(before)
})

test('many may make them at once', async () => {
  const { sql } = await openDatabase()
  const now = new Date(Date.now() + 100 * DAY_MS)
  const results = await Promise.allSettled(Array.from({ length: 6 }, () => makePartitions(sql, now)))
  expect(results.map((result) => (result.status === 'rejected' ? String(result.reason) : 'made'))).toEqual(
    Array(6).fill('made'),
  )
  expect((await partitions(sql, 'events')).at(-1)).toBe(`events_${dayOf(new Date(now.getTime() + 14 * DAY_MS))}`)
})

test('a row lies in the partition of the day its id tells, to the millisecond', async () => {
  const { sql } = await openDatabase()
  const midnight = Math.ceil(Date.now() / DAY_MS) * DAY_MS
  for (const ms of [midnight - 1, midnight]) {
    const [row] = await sql`
      insert into postrider.event_payloads (id, payload) values (${newId(new Date(ms))}, '{}') returning (select relname from pg_class where oid = event_payloads.tableoid) as partition`
    expect(row?.partition).toBe(`event_payloads_${dayOf(new Date(ms))}`)
  }
})

test('ten days later an event is published, delivered and recorded all the same', async () => {
  const clock = movableClock()
  const receiver = await receiverOf()
  const engine = await startEngine({ clock })
  await engine.addEndpoint(receiver.url)
  await engine.publish()
  await receiver.waitForRequests(1)

  clock.forward(10 * DAY_MS)
  await engine.publish()
  await receiver.waitForRequests(2)

  await eventually(async () => expect(await engine.attempts()).toHaveLength(2))
  const day = dayOf(clock.now())
  const found = await engine.db.sql`
    select 'event' as what from ${engine.db.sql(`postrider.events_${day}`)} union all
    select 'delivery' from ${engine.db.sql(`postrider.deliveries_${day}`)} union all
    select 'attempt' from ${engine.db.sql(`postrider.attempts_${day}`)}`
  expect(found.map(({ what }) => what).sort()).toEqual(['attempt', 'delivery', 'event'])
})

test('after a sleep of weeks what waited is delivered once, and publishes are refused for a moment at most', async () => {
  const clock = movableClock()
  const receiver = await receiverOf()
  const engine = await startEngine({ clock })
  const endpoint = await engine.addEndpoint(receiver.url)
  await engine.change(endpoint, { state: 'PAUSED' })
  await engine.publish(5)
  await eventually(async () => expect(await engine.deliveries()).toHaveLength(5))

  clock.forward(20 * DAY_MS)
  await engine.change(endpoint, { state: 'ACTIVE' })
  const refusals: unknown[] = []
  const publishing = () =>
    engine.publish().catch((error) => {
      refusals.push(error.code)
      throw error
    })
  await eventually(publishing, 10_000)
  expect(refusals.filter((code) => code !== 'UNAVAILABLE')).toEqual([])
  await eventually(async () => {
    expect(await engine.deliveries()).toMatchObject(Array(6).fill({ state: 'DELIVERED', attemptsMade: 1 }))
  }, 10_000)
  expect(await engine.attempts()).toHaveLength(6)
  expect(receiver.requests).toHaveLength(6)
})

test('partitions that cannot be made are tried again', async () => {
  const clock = movableClock()
  const db = await openDatabase()
  const log = { ...silentLog, error: vi.fn() }
  await db.sql`alter table postrider.events rename to elsewhere`
  onTestFinished(keepMakingPartitions(db.sql, clock, log, { lookMs: 20, againMs: 50 }))
  clock.forward(20 * DAY_MS)
  await eventually(() => expect(log.error).toHaveBeenCalled())
  await db.sql`alter table postrider.elsewhere rename to events`
  const today = `events_${dayOf(clock.now())}`
  await eventually(async () => expect(await partitions(db.sql, 'events')).toContain(today))
})

test('a writer does not wait for partitions being made, nor they for a writer', async () => {
  const { sql } = await openDatabase()
  const writer = await sql.reserve()
  await writer`begin`
  await writer`insert into postrider.event_payloads (id, payload) values (${newId(new Date())}, '{}')`
  await sql`set lock_timeout = '2s'`
  await expect(makePartitions(sql, new Date(Date.now() + 100 * DAY_MS))).resolves.toBeUndefined()
  await writer`rollback`
  writer.release()
})
