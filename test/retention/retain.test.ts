import { describe, expect, test } from 'vitest'
import { newId, timeOf } from '../../schema/ids.ts'
import { silentLog } from '../../src/log.ts'
import { DAY_MS as DAY, keptSince } from '../../src/postgres/days.ts'
import { keepMakingPartitions, makePartitions } from '../../src/retention/partitions.ts'
import { receiverOf } from '../egress/world.ts'
import { createDatabase, openDatabase } from '../support/database.ts'
import { movableClock } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { DAY_MS, dayName, type RetentionWorld, retentionWorld } from './world.ts'

const TABLES = ['events', 'event_payloads', 'deliveries', 'attempts', 'attempt_bodies']

test.each`
  now                           | days  | since
  ${'2026-11-21T00:00:00.000Z'} | ${30} | ${'2026-10-22T00:00:00.000Z'}
  ${'2026-11-21T23:59:59.999Z'} | ${30} | ${'2026-10-22T00:00:00.000Z'}
  ${'2026-11-22T00:00:00.000Z'} | ${30} | ${'2026-10-23T00:00:00.000Z'}
  ${'2026-03-01T12:00:00.000Z'} | ${12} | ${'2026-02-17T00:00:00.000Z'}
`('at $now what is kept for $days days is there since $since', ({ now, days, since }) => {
  expect(keptSince(new Date(now), days).toISOString()).toBe(since)
})

test('a day goes when all of it is older than it is kept, and not before', async () => {
  const world = await retentionWorld()
  const [event] = await world.publish()
  const day = dayName(timeOf(event as never))
  await world.db.sql`update postrider.events set routed_at = now()`

  // Until the last moment of the day on which its last moment is 30 days old.
  await world.pass(30)
  world.clock.forward(DAY_MS - (world.clock.now().getTime() % DAY_MS) - 5000)
  await world.retain()
  expect(await world.count('events')).toBe(1)
  for (const table of TABLES) expect(await world.daysOf(table)).toContain(day)

  world.clock.forward(6000)
  await world.retain()
  expect(await world.count('events')).toBe(0)
  for (const table of TABLES) expect(await world.daysOf(table)).not.toContain(day)
})

test('payloads and response bodies go sooner than rows where they are kept for less', async () => {
  const receiver = await receiverOf()
  const world = await retentionWorld({ worker: true, retention: { days: 30, bodyDays: 12 } })
  await world.addEndpoint(receiver.url)
  receiver.answers({ status: 200, body: 'thanks' })
  const [event] = await world.publish()
  await eventually(async () => expect(await world.attempts()).toHaveLength(1))
  expect([await world.count('event_payloads'), await world.count('attempt_bodies')]).toEqual([1, 1])

  await world.pass(13)
  await world.retain()
  expect([await world.count('event_payloads'), await world.count('attempt_bodies')]).toEqual([0, 0])
  expect([await world.count('events'), await world.count('deliveries'), await world.count('attempts')]).toEqual([
    1, 1, 1,
  ])
  const [delivery] = await world.deliveries()
  await expect(world.redeliverer.retry(world.admin, delivery?.id as never)).rejects.toMatchObject({
    code: 'PAYLOAD_GONE',
    message: 'The payload of this event is no longer kept: there is nothing to send.',
  })

  await world.pass(18)
  await world.retain()
  expect([await world.count('events'), await world.count('deliveries'), await world.count('attempts')]).toEqual([
    0, 0, 0,
  ])
  expect(await world.daysOf('events')).not.toContain(dayName(timeOf(event as never)))
})

describe('killed in the middle', () => {
  async function dueDay(world: RetentionWorld) {
    const [event] = await world.publish()
    await world.db.sql`update postrider.events set routed_at = now()`
    await world.pass(31)
    return dayName(timeOf(event as never))
  }
  const detached = (world: RetentionWorld) => world.db.sql<{ name: string }[]>`
    select relname as name from pg_class c left join pg_inherits on inhrelid = c.oid
    where relnamespace = 'postrider'::regnamespace and relkind = 'r' and relname ~ '_[0-9]{8}$'
      and (inhrelid is null or inhdetachpending)`

  test('a partition that was detached and not dropped is dropped the next time', async () => {
    const world = await retentionWorld()
    const day = await dueDay(world)
    await world.db.sql.unsafe(`alter table postrider.event_payloads detach partition postrider.event_payloads_${day}`)
    await world.db.sql.unsafe(`alter table postrider.attempts detach partition postrider.attempts_${day}`)
    await world.retain()
    for (const table of TABLES) expect(await world.daysOf(table), table).not.toContain(day)
    expect(await detached(world)).toEqual([])
  })

  test('a partition whose detachment was begun is finished the next time; meanwhile writers go on', async () => {
    const world = await retentionWorld()
    const day = await dueDay(world)
    // An old transaction makes the detachment wait; there it is killed.
    const old = await world.db.sql.reserve()
    await old`set idle_in_transaction_session_timeout = 0`
    await old`begin isolation level repeatable read`
    await old`select count(*) from postrider.event_payloads`
    const session = await world.db.sql.reserve()
    await session`set lock_timeout = '200ms'`
    await expect(
      session.unsafe(
        `alter table postrider.event_payloads detach partition postrider.event_payloads_${day} concurrently`,
      ),
    ).rejects.toMatchObject({ code: '55P03' })
    session.release()
    expect(await detached(world)).toEqual([{ name: `event_payloads_${day}` }])
    await world.publish()

    await old`rollback`
    old.release()
    await world.retain()
    expect(await detached(world)).toEqual([])
    for (const table of TABLES) expect(await world.daysOf(table), table).not.toContain(day)
  })

  test('an old transaction is given way to, holds up no writer, and the rest is done when it has ended', async () => {
    const world = await retentionWorld()
    const day = await dueDay(world)
    const old = await world.db.sql.reserve()
    await old`set idle_in_transaction_session_timeout = 0`
    await old`begin isolation level repeatable read`
    await old`select count(*) from postrider.attempt_bodies`
    const writer = await world.db.sql.reserve()
    await writer`set lock_timeout = '100ms'`
    let ended = false
    const retaining = world.retain().finally(() => {
      ended = true
    })
    let written = 0
    while (!ended) {
      await writer`insert into postrider.attempt_bodies (id, body) values (${newId(world.clock.now())}, 'ok')`
      written++
    }
    await retaining
    expect(written).toBeGreaterThan(20)
    expect(await detached(world)).toEqual([{ name: expect.stringMatching(/^attempt_bodies_/) }])
    await old`rollback`
    old.release()
    writer.release()
    await world.retain()
    expect(await detached(world)).toEqual([])
    for (const table of TABLES) expect(await world.daysOf(table), table).not.toContain(day)
  }, 60_000)
})

test('many may drop at once: one does it, the others leave it to that one', async () => {
  const world = await retentionWorld()
  await world.pass(31)
  const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => world.retain()))
  expect(outcomes.map(({ status }) => status)).toEqual(Array(5).fill('fulfilled'))
  const oldest = dayName(keptSince(world.clock.now(), 30).getTime())
  for (const table of TABLES) expect((await world.daysOf(table))[0], table).toBe(oldest)
})

test('an API alone makes partitions as well', async () => {
  const db = await openDatabase(await createDatabase())
  const clock = movableClock()
  const stop = keepMakingPartitions(db.sql, clock, silentLog, { lookMs: 20 })
  clock.forward(20 * DAY)
  await eventually(async () => {
    const [row] =
      await db.sql`select to_regclass(${`postrider.events_${dayName(clock.now().getTime() + 14 * DAY)}`}) is not null as made`
    expect(row?.made).toBe(true)
  })
  stop()
  await makePartitions(db.sql, clock.now())
})

test('lanes of ordering keys that nobody used for so long are forgotten; those in use and of whole endpoints stay', async () => {
  const world = await retentionWorld()
  const endpoint = await world.addEndpoint('http://127.0.0.1:9/')
  const lane = (name: string, head: string | null, daysAgo: number) => world.db.sql`
    insert into postrider.lanes (endpoint_id, lane, tenant_id, last_sequence, head, used_at)
    values (${endpoint}, ${name}, ${world.tenantId}, 7, ${head}, ${new Date(world.clock.now().getTime() - daysAgo * DAY_MS).toISOString()})`
  await world.pass(31)
  await Promise.all([
    lane('old', null, 32),
    lane('used', null, 29),
    lane('', null, 300),
    lane('waits', newId(world.clock.now()), 300),
  ])
  await world.retain()
  const left = await world.db.sql<{ lane: string }[]>`select lane from postrider.lanes order by 1`
  expect(left.map(({ lane }) => lane)).toEqual(['', 'used', 'waits'])
})

test('replays that ended so long ago are forgotten; those that go on, or ended since, stay', async () => {
  const world = await retentionWorld()
  const endpoint = await world.addEndpoint('http://127.0.0.1:9/')
  const replay = async (daysAgo: number, finishedDaysAgo: number | null) => {
    const at = (days: number) => new Date(world.clock.now().getTime() - days * DAY_MS)
    const id = newId<'rpl'>(at(daysAgo))
    const ended = finishedDaysAgo === null ? null : at(finishedDaysAgo).toISOString()
    await world.db.sql`
      insert into postrider.replays (id, tenant_id, selection, state, up_to, total, created_at, finished_at, next_turn_at)
      values (${id}, ${world.tenantId}, '{}', ${ended ? 'COMPLETED' : 'RUNNING'}, ${id}, 0, now(), ${ended}, ${ended ? null : 'now()'})`
    await world.db.sql`
      insert into postrider.replay_parts (replay_id, endpoint_id, tenant_id, position)
      values (${id}, ${endpoint}, ${world.tenantId}, ${id})`
    return id
  }
  await world.pass(31)
  await replay(40, 32)
  const kept = [await replay(40, null), await replay(40, 29), await replay(1, 1)]
  await world.retain()
  const left = await world.db.sql<{ id: string }[]>`select id from postrider.replays`
  expect(left.map(({ id }) => id).sort()).toEqual(kept.sort())
  expect(await world.count('replay_parts')).toBe(3)
})

test('what cannot be dropped holds up nothing else, and is dropped when it can be', async () => {
  const told: object[] = []
  const world = await retentionWorld({ log: { ...silentLog, error: (facts) => told.push(facts) } })
  const [event] = await world.publish()
  const day = dayName(timeOf(event as never))
  await world.db.sql`update postrider.events set routed_at = now()`
  await world.db.sql.unsafe(`create view postrider.of_a_day as select id from postrider.event_payloads_${day}`)
  await world.pass(31)
  await world.retain()
  expect(told).toMatchObject([{ partition: `event_payloads_${day}`, err: { code: '2BP01' } }])
  for (const table of TABLES) {
    if (table !== 'event_payloads') expect(await world.daysOf(table), table).not.toContain(day)
  }
  expect(await world.count('event_payloads')).toBe(0)
  await world.db.sql.unsafe('drop view postrider.of_a_day')
  await world.retain()
  expect(await world.daysOf('event_payloads')).not.toContain(day)
})

test('events that cannot be routed and have their ticket still get no other one each time', async () => {
  const world = await retentionWorld()
  await world.publish(3)
  await world.pass(31)
  for (let run = 0; run < 3; run++) await world.retain()
  expect(await world.ticketsIn('outbox')).toBe(1)
  await world.db.sql`delete from postrider_queue.job where name = 'outbox'`
  await world.retain()
  expect(await world.ticketsIn('outbox')).toBe(1)
})
