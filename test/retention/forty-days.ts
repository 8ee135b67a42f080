import { expect, onTestFinished } from 'vitest'
import { type DeliveryId, deliveryIdOf, type EndpointId, type EventId, lowestIdAt, newId } from '../../schema/ids.ts'
import { readAttemptFilter } from '../../src/attempts/filter.ts'
import { listAttempts } from '../../src/attempts/find.ts'
import { recordAttempts } from '../../src/attempts/record.ts'
import { listDeliveries, listDeliveriesOfEndpoints } from '../../src/deliveries/find.ts'
import { promote } from '../../src/deliveries/promoter.ts'
import { listEvents } from '../../src/events/find.ts'
import { insertEvents } from '../../src/events/write.ts'
import { silentLog } from '../../src/log.ts'
import { type Db, openPool } from '../../src/postgres/client.ts'
import { DAY_MS, keptSince } from '../../src/postgres/days.ts'
import { cursorOf, readPage } from '../../src/postgres/keyset.ts'
import { receiverOf } from '../egress/world.ts'
import { eventually } from '../support/eventually.ts'
import { dayName, type RetentionWorld, retentionWorld } from './world.ts'

const DAYS = 40
const TABLES = ['events', 'event_payloads', 'deliveries', 'attempts', 'attempt_bodies']
const REALLY_DELIVERED = 5

/**
 * Forty days of so many events, the clock moved from day to day: a few delivered for real, one each day that stays
 * pending, the others written as if they had been. Checks all that retention promises and returns what was measured.
 */
export async function fortyDays(perDay: number, { timed = true } = {}) {
  const receiver = await receiverOf()
  const world = await retentionWorld({ worker: true })
  const healthy = await world.addEndpoint(receiver.url, { eventTypes: ['invoice.paid'] })
  const paused = await world.addEndpoint(receiver.url, { eventTypes: ['stuck'] })
  await world.change(paused, { state: 'PAUSED' })
  await world.addEndpoint((await receiverOf()).url, { eventTypes: ['delivery.failed'] })
  const pool = await openPool(world.address, { max: 1, name: 'questions', log: silentLog })
  onTestFinished(() => pool.close())
  const writer = startWriter(world, healthy, timed ? '100ms' : '1s')
  const queries: Record<string, number>[] = []
  let drops = 0
  for (let day = 1; day <= DAYS; day++) {
    await writeDay(world, healthy, perDay)
    await world.publish(REALLY_DELIVERED)
    await world.publish(1, 'stuck')
    await eventually(() => expect(receiver.requests).toHaveLength(day * REALLY_DELIVERED), 10_000)
    await eventually(async () => expect(await waiting(world, paused)).toBe(Math.min(day, 31)), 10_000)
    const before = (await world.daysOf('events')).length
    await world.pass(1)
    await world.retain()
    drops += Math.max(0, before + 1 - (await world.daysOf('events')).length)
    if (timed) queries.push(await timeQueries(world, pool, healthy))
  }
  const written = await writer.stop()
  await checkPartitions(world)
  await checkOrphans(world)
  await checkWhatExpired(world, DAYS - 30)
  return { written, queries, drops, rows: await world.count('events') }
}

async function waiting({ db }: RetentionWorld, endpoint: EndpointId): Promise<number> {
  const [row] = await db.sql<[{ count: number }]>`
    select count(*)::int from postrider.deliveries where endpoint_id = ${endpoint} and waiting_for is not null`
  return row.count
}

/** A day as it was: events spread over it, delivered at the first attempt. */
async function writeDay({ db, clock, tenantId }: RetentionWorld, endpoint: EndpointId, events: number): Promise<void> {
  const day = Math.floor(clock.now().getTime() / DAY_MS) * DAY_MS
  const id = (ms: string) => `(
    substr(lpad(to_hex((${ms})::bigint), 12, '0'), 1, 8) || '-' || substr(lpad(to_hex((${ms})::bigint), 12, '0'), 9) ||
    '-7' || substr(md5(random()::text), 1, 3) || '-8' || substr(md5(random()::text), 1, 3) || '-' || substr(md5(random()::text), 1, 12)
  )::uuid`
  await db.sql.unsafe(`
    with day as materialized (
      select ms, ${id('ms')} as event, ${id('ms')} as delivery, ${id('ms + 7')} as attempt
      from (select ${day} + (n * ${DAY_MS / events - 1})::bigint as ms from generate_series(0, ${events - 1}) n) moments
    ), payloads as (
      insert into postrider.event_payloads (id, payload) select event, '{"amount":' || ms || ',"note":"' || repeat('x', 200) || '"}' from day
    ), deliveries as (
      insert into postrider.deliveries (id, tenant_id, event_id, endpoint_id, event_type, state, attempts_made, scheduled_attempts_made, last_attempt_id, created_at, settled_at)
      select delivery, '${tenantId}', event, '${endpoint}', 'invoice.paid', 'DELIVERED', 1, 1, attempt, to_timestamp(ms / 1000.0), to_timestamp(ms / 1000.0) from day
    ), attempts as (
      insert into postrider.attempts (id, tenant_id, delivery_id, event_id, endpoint_id, event_type, position, number, trigger, duration_ms, succeeded, method, url, request_headers, request_bytes, status)
      select attempt, '${tenantId}', delivery, event, '${endpoint}', 'invoice.paid', nextval('postrider.attempt_positions'), 1, 'SCHEDULE', 7, true, 'POST', 'http://127.0.0.1/', '[]', 300, 200 from day
    ), bodies as (
      insert into postrider.attempt_bodies (id, body) select attempt, 'ok' from day
    )
    insert into postrider.events (id, tenant_id, type, channels, occurred_at, routed_at)
    select event, '${tenantId}', 'invoice.paid', '{}', to_timestamp(ms / 1000.0), to_timestamp(ms / 1000.0) from day`)
}

/**
 * Writes an event, its delivery and its attempt, again and again; waiting for a lock for longer than allowed is an error. On a
 * machine that does other things as well, whoever holds one may have to wait for a processor.
 */
function startWriter({ db, clock, tenantId }: RetentionWorld, endpointId: EndpointId, longestWait: string) {
  let going = true
  let transactions = 0
  let slowestMs = 0
  const write = async () => {
    const now = clock.now()
    const eventId: EventId = newId<'evt'>(now)
    const delivery: DeliveryId = deliveryIdOf(eventId, endpointId)
    const event = { id: eventId, tenantId, type: 'written', version: null, channels: [], orderingKey: null }
    const ids = { tenantId, eventId, endpointId, eventType: 'written' }
    const sent = {
      method: 'POST',
      url: 'http://127.0.0.1/',
      format: 'ENVELOPE',
      requestHeaders: '[]',
      requestBytes: 2,
    } as const
    const attempt = { ...ids, ...sent, deliveryId: delivery, number: 1, trigger: 'SCHEDULE', durationMs: 1 } as const
    await db.transaction(async (tx) => {
      await tx`select set_config('lock_timeout', ${longestWait}, true)`
      await insertEvents(tx, [{ ...event, occurredAt: now, payload: '{}' }])
      await tx`update postrider.events set routed_at = ${now.toISOString()} where id = ${eventId}`
      await tx`insert into postrider.deliveries (id, tenant_id, event_id, endpoint_id, event_type, state, created_at, settled_at)
        values (${delivery}, ${tenantId}, ${eventId}, ${endpointId}, 'written', 'DELIVERED', ${now.toISOString()}, ${now.toISOString()})`
      const body = Buffer.from('ok')
      await recordAttempts(tx, [{ ...attempt, id: newId<'att'>(now), succeeded: true, responseBody: body }])
    })
  }
  const running = (async () => {
    while (going) {
      const begun = performance.now()
      await write()
      slowestMs = Math.max(slowestMs, performance.now() - begun)
      transactions++
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  })()
  // Its failure is told when it is stopped.
  running.catch(() => {})
  return {
    async stop() {
      going = false
      await running
      return { transactions, slowestMs: Math.round(slowestMs) }
    },
  }
}

/**
 * How long in milliseconds what is asked for most takes, on one connection: the first time it reads what it must know of every
 * partition. The best of four, for the machine does other things as well.
 */
async function timeQueries(world: RetentionWorld, pool: Db, endpoint: EndpointId): Promise<Record<string, number>> {
  const { orm } = pool
  const first = readPage({ first: 50 })
  const old = readPage({ first: 50, after: cursorOf(newId(new Date())) })
  const reach = world.tenantId
  const questions: Record<string, () => Promise<unknown>> = {
    events: () => listEvents(orm, reach, null, first),
    intoDroppedDays: () => listEvents(orm, reach, null, old),
    deliveries: () => listDeliveries(orm, reach, null, first),
    ofEndpoint: () => listDeliveriesOfEndpoints(orm, reach, [endpoint], first),
    attempts: () => listAttempts(orm, reach, readAttemptFilter({ succeeded: true }), first),
    feedCursor: () => pool.sql`select max(position) from postrider.attempts`,
    promote: () => promote({ ...world, db: pool, log: silentLog }),
  }
  const times: Record<string, number> = {}
  for (const [name, ask] of Object.entries(questions)) {
    times[name] = Number.POSITIVE_INFINITY
    for (let i = 0; i < 4; i++) {
      const begun = performance.now()
      await ask()
      times[name] = Math.min(times[name] as number, performance.now() - begun)
    }
  }
  return times
}

async function checkPartitions(world: RetentionWorld): Promise<void> {
  const since = keptSince(world.clock.now(), 30).getTime()
  const expected = Array.from({ length: 30 + 1 + 14 }, (_, index) => dayName(since + index * DAY_MS))
  for (const table of TABLES) expect(await world.daysOf(table), table).toEqual(expected)
}

/** Rows whose parent is not there, of days that are kept. An attempt of a later day may outlive its delivery. */
async function checkOrphans({ db, clock }: RetentionWorld): Promise<void> {
  const since = lowestIdAt(keptSince(clock.now(), 30).getTime())
  const without = (child: string, parent: string, key = 'child.id', kept = 'true') => `(
      select count(*)::int from postrider.${child} child
      where ${kept} and not exists (select from postrider.${parent} parent where parent.id = ${key}))`
  const [orphans] = await db.sql.unsafe(`
    select ${without('event_payloads', 'events')} as payloads, ${without('events', 'event_payloads')} as events,
      ${without('deliveries', 'events', 'event_id')} as deliveries, ${without('attempt_bodies', 'attempts')} as bodies,
      ${without('attempts', 'deliveries', 'delivery_id', `event_id >= '${since}'`)} as attempts,
      (select count(*)::int from postrider.lanes) as lanes`)
  expect(orphans).toEqual({ payloads: 0, events: 0, deliveries: 0, bodies: 0, attempts: 0, lanes: 0 })
}

/** Each of those that stayed pending was announced, none vanished. */
async function checkWhatExpired({ db }: RetentionWorld, count: number): Promise<void> {
  const rows = await db.sql<{ payload: string }[]>`
    select payload from postrider.events join postrider.event_payloads using (id) where type = 'delivery.failed'`
  expect(rows.map(({ payload }) => JSON.parse(payload).reason)).toEqual(Array(count).fill('EXPIRED'))
}

/** The middle of some days: how long a question took there. */
export function median(queries: Record<string, number>[], name: string): number {
  const sorted = queries.map((times) => times[name] as number).sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] as number
}
