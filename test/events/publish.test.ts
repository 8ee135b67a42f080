import { describe, expect, test } from 'vitest'
import type { EventId } from '../../schema/ids.ts'
import { createPublisher, type Published, type PublishInput } from '../../src/events/publish.ts'
import { silentLog } from '../../src/log.ts'
import { Mistake } from '../../src/mistake.ts'
import { type Engine, movableClock, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

const DAY_MS = 86_400_000

/** An engine that routes and sends nothing: what was published stays as it was written. */
async function world(options: Parameters<typeof startEngine>[0] = {}) {
  const engine = await startEngine({ worker: false, ...options })
  const { tenantId, publisher } = engine
  const input = (more: Partial<PublishInput> = {}): PublishInput => ({
    tenantId,
    type: 'invoice.paid',
    payload: {},
    ...more,
  })
  return { engine, input, publish: (more?: Partial<PublishInput>) => publisher.publish(input(more)) }
}

/** Everything a publish writes. */
async function written({ db }: Engine) {
  const [counts] = await db.sql<[{ events: number; payloads: number; keys: number; tickets: number }]>`
    select (select count(*)::int from postrider.events) as events,
      (select count(*)::int from postrider.event_payloads) as payloads,
      (select count(*)::int from postrider.idempotency_keys) as keys,
      (select count(*)::int from postrider_queue.job where name = 'outbox') as tickets`
  return counts
}

const NOTHING = { events: 0, payloads: 0, keys: 0, tickets: 0 }

describe('an event', () => {
  test('is written with its payload and one outbox ticket that names it', async () => {
    const { engine, publish } = await world()
    const occurredAt = new Date('2026-01-02T03:04:05.678Z')
    const { eventId, duplicate } = await publish({
      payload: undefined,
      payloadJson: '{"total":1.10}',
      version: '2',
      channels: ['eu', 'a:b'],
      orderingKey: 'customer "7"',
      occurredAt,
    })

    expect(duplicate).toBe(false)
    const [event] = await engine.db.sql`select * from postrider.events join postrider.event_payloads using (id)`
    expect(event).toMatchObject({
      id: eventId,
      type: 'invoice.paid',
      version: '2',
      channels: ['eu', 'a:b'],
      ordering_key: 'customer "7"',
      payload: '{"total":1.10}',
      routed_at: null,
    })
    expect(new Date(event?.occurred_at)).toEqual(occurredAt)
    const { claims } = await engine.tickets.claim('outbox', 16)
    expect(claims.map(({ data }) => data)).toEqual([{ events: [eventId] }])
  })

  test('is not there at all when its transaction fails, whatever it was writing', async () => {
    const { engine, publish } = await world()
    for (const table of ['postrider.events', 'postrider.event_payloads', await outboxTable(engine)]) {
      const fail = await failOnInsertInto(engine, table)
      await expect(publish({ idempotencyKey: 'k' })).rejects.toThrow('on purpose')
      expect(await written(engine), table).toEqual(NOTHING)
      await fail.stop()
    }
    await expect(publish({ idempotencyKey: 'k' })).resolves.toMatchObject({ duplicate: false })
    expect(await written(engine)).toEqual({ events: 1, payloads: 1, keys: 1, tickets: 1 })
  })

  test('is refused as unavailable when the database goes away, and the same key leads to one event', async () => {
    const { engine, publish } = await world()
    const held = await holdKey(engine, 'k')
    const first = publish({ idempotencyKey: 'k' })
    const refusal = expect(first).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await eventually(async () => {
      const ended = await engine.db.sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like '%idempotency_keys%'`
      expect(ended.length).toBeGreaterThan(0)
    })
    const endedAt = performance.now()
    await refusal
    // At once: whether it was written is not known, so it is not tried again behind the caller's back.
    expect(performance.now() - endedAt).toBeLessThan(2000)
    await held.rollBack()

    await publish({ idempotencyKey: 'k' })
    expect(await written(engine)).toEqual({ events: 1, payloads: 1, keys: 1, tickets: 1 })
  })
})

describe('an idempotency key', () => {
  test('makes one event of 50 publishes at once, by two processes', async () => {
    const { engine, publish, input } = await world()
    const other = await startEngine({ worker: false, address: engine.address })

    const results = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        i % 2 ? publish({ idempotencyKey: 'k' }) : other.publisher.publish(input({ idempotencyKey: 'k' })),
      ),
    )

    expect(new Set(results.map(({ eventId }) => eventId)).size).toBe(1)
    expect(results.filter(({ duplicate }) => duplicate)).toHaveLength(49)
    expect(await written(engine)).toEqual({ events: 1, payloads: 1, keys: 1, tickets: 1 })
  })

  test('with another body is a conflict that writes nothing', async () => {
    const { engine, publish } = await world()
    await publish({ idempotencyKey: 'k' })
    const before = await written(engine)
    const others: Partial<PublishInput>[] = [
      { payload: { a: 1 } },
      { type: 'invoice.sent' },
      { version: '1' },
      { channels: ['eu'] },
      { orderingKey: 'o' },
      { occurredAt: new Date(0) },
    ]
    for (const other of others) {
      await expect(publish({ idempotencyKey: 'k', ...other })).rejects.toMatchObject({
        code: 'IDEMPOTENCY_CONFLICT',
        path: ['input', 'idempotencyKey'],
      })
    }
    expect(await written(engine)).toEqual(before)
  })

  test('conflicts within one batch as well', async () => {
    const { engine, input } = await world()
    const results = await engine.publisher.publishBatch([
      input({ idempotencyKey: 'k' }),
      input({ idempotencyKey: 'k' }),
      input({ idempotencyKey: 'k', payload: 1 }),
    ])
    expect(results).toMatchObject([
      { duplicate: false },
      { duplicate: true, eventId: (results[0] as Published).eventId },
      { code: 'IDEMPOTENCY_CONFLICT', path: ['events', '2', 'idempotencyKey'] },
    ])
  })

  test('is free for a new event, and another body, when it has expired', async () => {
    const clock = movableClock()
    const { engine, publish } = await world({ clock })
    const first = await publish({ idempotencyKey: 'k' })
    clock.forward(DAY_MS - 60_000)
    await expect(publish({ idempotencyKey: 'k' })).resolves.toMatchObject({ eventId: first.eventId, duplicate: true })

    clock.forward(120_000)
    const second = await publish({ idempotencyKey: 'k', payload: { other: true } })

    expect(second).toMatchObject({ duplicate: false })
    expect(second.eventId).not.toBe(first.eventId)
    expect((await written(engine)).events).toBe(2)
  })

  test('held by a transaction that does not end delays nobody else', async () => {
    const { engine, publish } = await world()
    const held = await holdKey(engine, 'held')
    // More than the pool has connections: those who wait must not use them up.
    const waiting = Array.from({ length: 20 }, () => publish({ idempotencyKey: 'held' }))
    const outcomes = Promise.allSettled(waiting)
    const startedAt = performance.now()

    const free = Array.from({ length: 20 }, (_, i) => publish(i % 2 ? {} : { idempotencyKey: `free ${i}` }))
    await Promise.all(free)
    await publish()
    expect(performance.now() - startedAt).toBeLessThan(2000)

    await held.rollBack()
    const results = await outcomes
    expect(results.map(({ status }) => status)).toEqual(Array(20).fill('fulfilled'))
    const ids = results.map((result) => (result as PromiseFulfilledResult<Published>).value.eventId)
    expect(new Set(ids).size).toBe(1)
    expect((await written(engine)).events).toBe(22)
  })

  test('held by another publisher is waited for, and then found used with another body', async () => {
    const { engine, publish } = await world()
    const held = await holdKey(engine, 'held')
    const conflict = expect(publish({ idempotencyKey: 'held' })).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' })
    // Longer than publishes that share a transaction wait for a lock together.
    await eventually(async () => {
      const [longest] = await engine.db.sql<[{ ms: number }]>`
        select coalesce(max(extract(epoch from clock_timestamp() - xact_start) * 1000), 0)::int as ms from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like '%idempotency_keys%'`
      expect(longest.ms).toBeGreaterThan(700)
    })
    await held.commit()
    await conflict
  })
})

describe('a batch', () => {
  test('keeps its order, writes the good ones together and says what is wrong with the others', async () => {
    const { engine, input } = await world()
    await engine.publisher.publish(input({ idempotencyKey: 'used', payload: 'before' }))

    const results = await engine.publisher.publishBatch([
      input({ payload: 0 }),
      input({ type: 'not a type' }),
      input({ payload: 2 }),
      input({ payload: undefined, payloadJson: '{' }),
      input({ idempotencyKey: 'used' }),
      input({ type: 'endpoint.disabled' }),
      input({ payload: 6 }),
      input({ channels: ['ok', 'not ok'] }),
    ])

    expect(results.map((result) => (result instanceof Mistake ? [result.code, ...result.path] : 'written'))).toEqual([
      'written',
      ['INVALID_INPUT', 'events', '1', 'type'],
      'written',
      ['INVALID_PAYLOAD', 'events', '3', 'payloadJson'],
      ['IDEMPOTENCY_CONFLICT', 'events', '4', 'idempotencyKey'],
      ['RESERVED_EVENT_TYPE', 'events', '5', 'type'],
      'written',
      ['INVALID_INPUT', 'events', '7', 'channels', '1'],
    ])
    const ids = [0, 2, 6].map((index) => (results[index] as Published).eventId)
    expect(await payloadsOf(engine, ids)).toEqual(['0', '2', '6'])
    expect(await written(engine)).toEqual({ events: 4, payloads: 4, keys: 1, tickets: 2 })
  })

  test('of 500 is taken, of 501 refused, of nothing but mistakes writes nothing', async () => {
    const { engine, input } = await world()
    const mistakes = await engine.publisher.publishBatch([input({ type: '' }), input({ version: '' })])
    expect(mistakes).toMatchObject([{ path: ['events', '0', 'type'] }, { path: ['events', '1', 'version'] }])
    expect(await written(engine)).toEqual(NOTHING)
    await expect(engine.publisher.publishBatch(Array(501).fill(input()))).rejects.toMatchObject({ path: ['events'] })
    const results = await engine.publisher.publishBatch(Array(500).fill(input()))
    expect(results.every((result) => !(result instanceof Mistake))).toBe(true)
    expect(await written(engine)).toEqual({ events: 500, payloads: 500, keys: 0, tickets: 1 })
  })
})

test('publishes of one moment share a transaction, and each gets its own event', async () => {
  const { engine, publish } = await world()
  const results = await Promise.all(Array.from({ length: 100 }, (_, i) => publish({ payload: i })))

  const payloads = await payloadsOf(
    engine,
    results.map(({ eventId }) => eventId),
  )
  expect(payloads).toEqual(Array.from({ length: 100 }, (_, i) => String(i)))
  const { tickets } = await written(engine)
  expect(tickets).toBe(1)
})

test('a payload over the limit of this installation is refused before anything is written', async () => {
  const { engine, input } = await world()
  const { db, tickets, wake, clock, catalogue } = engine
  const publisher = createPublisher({
    db,
    catalogue,
    tickets,
    wake,
    clock,
    log: silentLog,
    maxPayloadBytes: 10,
    idempotencyHours: 24,
  })
  await expect(publisher.publish(input({ payload: '12345678' }))).resolves.toMatchObject({ duplicate: false })
  await expect(publisher.publish(input({ payload: '123456789' }))).rejects.toMatchObject({
    code: 'PAYLOAD_TOO_LARGE',
    path: ['input', 'payload'],
  })
})

async function payloadsOf({ db }: Engine, ids: readonly EventId[]): Promise<string[]> {
  const rows = await db.sql<{ payload: string }[]>`
    select payload from unnest(${ids as never}::uuid[]) with ordinality wanted (id, nth)
    join postrider.event_payloads using (id) order by nth`
  return rows.map(({ payload }) => payload)
}

/** Another session that has inserted a key and does not end its transaction. */
async function holdKey({ db, tenantId }: Engine, key: string) {
  const sql = await db.sql.reserve()
  await sql`begin`
  await sql`insert into postrider.idempotency_keys (tenant_id, key, body_hash, event_id, expires_at)
    values (${tenantId}, ${key}, 'other', gen_random_uuid(), now() + interval '1 day')`
  const end = async (how: 'commit' | 'rollback') => {
    await sql.unsafe(how)
    sql.release()
  }
  return { commit: () => end('commit'), rollBack: () => end('rollback') }
}

/** Makes every insert into a table raise an error, as if the transaction had been cut off there. */
async function failOnInsertInto({ db }: Engine, table: string) {
  await db.sql.unsafe(`
    create or replace function public.fail() returns trigger language plpgsql as $$ begin raise exception 'on purpose'; end $$;
    create trigger fail before insert on ${table} for each row execute function public.fail();`)
  return { stop: () => db.sql.unsafe(`drop trigger fail on ${table}`) }
}

async function outboxTable({ db }: Engine): Promise<string> {
  const [queue] = await db.sql<
    [{ table: string }]
  >`select table_name as table from postrider_queue.queue where name = 'outbox'`
  return `postrider_queue.${queue.table}`
}
