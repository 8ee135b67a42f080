import { describe, expect, test } from 'vitest'
import { type EventId, newId, parsePublicId, publicId, type TenantId, timeOf } from '../../schema/ids.ts'
import { ORDINARY } from '../../src/events/bursts.ts'
import type { PublishInput } from '../../src/events/publish.ts'
import { savePublishRules } from '../../src/events/publish-in-sql.ts'
import type { Queryable } from '../../src/postgres/client.ts'
import { openDatabase } from '../support/database.ts'
import { type EngineOptions, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { type Arguments, publishIn } from '../support/publish-in-sql.ts'

async function world(options: EngineOptions = {}) {
  const engine = await startEngine({ worker: false, ...options })
  const { db, tenantId } = engine
  const counts = async () => {
    const [row] = await db.sql`
      select (select count(*)::int from postrider.events) as events,
        (select count(*)::int from postrider.event_payloads) as payloads,
        (select count(*)::int from postrider.idempotency_keys) as keys,
        (select count(*)::int from postrider_queue.job where name = 'outbox') as tickets`
    return row
  }
  return {
    ...engine,
    counts,
    publishSql: (more: Arguments = {}, queryable: Queryable = db.sql) => publishIn(queryable, more),
    publishApi: (more: Partial<PublishInput> = {}) =>
      engine.publisher.publish({ tenantId, type: 'order.placed', payloadJson: '{"total": 1.10}', ...more }),
    async addTenant(key: string): Promise<TenantId> {
      const id = newId<'ten'>(new Date())
      await db.sql`insert into postrider.tenants (id, key, created_at) values (${id}, ${key}, now())`
      return id
    },
  }
}

const NOTHING = { events: 0, payloads: 0, keys: 0, tickets: 0 }

describe('an event published in SQL', () => {
  test('is what eventPublish would have written, column by column', async () => {
    const { db, publishSql, publishApi, addEndpoint, change } = await world()
    await change(await addEndpoint('http://127.0.0.1:9/hook'), { ordering: 'PER_KEY' })
    const occurredAt = new Date('2026-01-02T03:04:05.678Z')
    const common = { version: '2', channels: ['eu', 'a:b'] }
    const { eventId } = await publishApi({ ...common, orderingKey: 'customer "7"', occurredAt, idempotencyKey: 'a' })
    const text = await publishSql({
      ...common,
      ordering_key: 'customer "7"',
      occurred_at: occurredAt.toISOString(),
      idempotency_key: 'b',
    })

    const id = parsePublicId('evt', text) as EventId
    expect(Math.abs(timeOf(id) - Date.now())).toBeLessThan(5000)
    const rows = await db.sql`
      select event.*, payload.payload, noted.tenant_id as noted, encode(key.body_hash, 'hex') as hash, key.key
      from postrider.events event join postrider.event_payloads payload using (id)
      left join postrider.lane_outbox noted on noted.event_id = event.id
      left join postrider.idempotency_keys key on key.event_id = event.id order by key`
    const [api, sql] = rows
    expect(api).toMatchObject({ id: eventId, key: 'a' })
    expect({ ...sql, id: api?.id, key: 'a' }).toEqual({ ...api })
    expect(sql?.id).toBe(id)
    expect(sql?.noted).toBe(sql?.tenant_id)
  })

  test('happened when it was accepted, unless it says when', async () => {
    const { db, publishSql } = await world()
    const id = parsePublicId('evt', await publishSql()) as EventId
    const [row] = await db.sql`select occurred_at from postrider.events`
    expect(new Date(row?.occurred_at).getTime()).toBe(timeOf(id))
  })

  test('has the very ticket that the queue would have made', async () => {
    const { db, tickets, publishSql } = await world()
    const event = newId<'evt'>(new Date())
    await db.transaction(async (tx) => {
      await tickets.enqueue(tx, 'outbox', [{ id: newId(new Date()), priority: ORDINARY, data: { events: [event] } }])
      await publishSql({}, tx)
    })
    const [ours, theirs] = await db.sql`
      select to_jsonb(job) - 'id' - 'data' as columns, data from postrider_queue.job
      where name = 'outbox' order by data->'events'->>0 = ${event}`
    expect(ours?.columns).toEqual(theirs?.columns)
    const [{ id } = {}] = await db.sql<{ id: string }[]>`select id from postrider.events`
    expect(ours?.data).toEqual({ events: [id] })
  })

  test('is there when its transaction commits, and never was when that rolls back, to a savepoint as well', async () => {
    const { db, publishSql, counts } = await world()
    const rolledBack = db.transaction(async (tx) => {
      await publishSql({ idempotency_key: 'k' }, tx)
      throw new Error('on purpose')
    })
    await expect(rolledBack).rejects.toThrow('on purpose')
    expect(await counts()).toEqual(NOTHING)

    let kept = ''
    await db.transaction(async (tx) => {
      await tx.savepoint((inner) => publishSql({}, inner).then(() => Promise.reject(new Error()))).catch(() => {})
      kept = await publishSql({ idempotency_key: 'k' }, tx)
      expect(await counts()).toEqual(NOTHING)
    })
    expect(await counts()).toEqual({ events: 1, payloads: 1, keys: 1, tickets: 1 })
    const [{ id } = {}] = await db.sql<{ id: EventId }[]>`select id from postrider.events`
    expect(publicId('evt', id as EventId)).toBe(kept)
  })

  test('comes after those that the same transaction published before it', async () => {
    const { db } = await world()
    const ids = await db.sql<{ id: string }[]>`
      select postrider.publish('order.placed', n::text, wake => false) as id from generate_series(1, 200) n`
    const texts = ids.map(({ id }) => id)
    expect(texts.toSorted()).toEqual(texts)
    expect(new Set(texts).size).toBe(200)
    for (const id of texts) expect(parsePublicId('evt', id)).not.toBeNull()
  })

  test('is delivered to nobody of another tenant', async () => {
    const { db, publishSql, addTenant } = await world()
    const acme = await addTenant('acme')
    await publishSql({ tenant: 'acme' })
    expect(await db.sql`select tenant_id from postrider.events`).toEqual([{ tenant_id: acme }])
  })

  test('may be named by columns of any collation, such as one that knows no capitals', async () => {
    const { db, publishSql, addTenant } = await world()
    await addTenant('ACME')
    await db.sql`create collation careless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`
    await db.sql`create table orders (type text collate careless, tenant text collate careless, key text collate careless)`
    await db.sql`insert into orders values ('order.placed', 'acme', 'k'), ('order.placed', 'default', 'k'), ('order.placed', 'default', 'K')`
    const publishThose = (of: string) => db.sql`
      select postrider.publish(type, '{}', tenant, idempotency_key => key, channels => array[type]) from orders where tenant = ${of}`
    await publishThose('default')
    expect(await db.sql`select key from postrider.idempotency_keys order by key collate "C"`).toEqual([
      { key: 'K' },
      { key: 'k' },
    ])
    await expect(publishThose('acme')).rejects.toMatchObject({ code: 'PR006' })
    await publishSql({ tenant: 'ACME' })
  })

  test('wakes the router at its commit, or not where it is told so', async () => {
    const { db, wake, publishSql } = await world()
    let woken = 0
    wake.on('outbox', () => woken++)
    await publishSql({ wake: false })
    await db.transaction(async (tx) => {
      await publishSql({}, tx)
      await publishSql({}, tx)
      await tx`select pg_notify('postrider_wake', 'other outbox')`
    })
    // One for both of ours, and the one that came after them: nothing else is on its way.
    await eventually(() => expect(woken).toBeGreaterThanOrEqual(2))
    expect(woken).toBe(2)
  })
})

describe('an idempotency key', () => {
  test('means one event, whichever way it was published first', async () => {
    const { publishSql, publishApi, counts } = await world()
    const api = await publishApi({ idempotencyKey: 'a' })
    expect(await publishSql({ idempotency_key: 'a' })).toBe(publicId('evt', api.eventId))
    const sql = await publishSql({ idempotency_key: 'b' })
    const again = await publishApi({ idempotencyKey: 'b' })
    expect({ id: publicId('evt', again.eventId), duplicate: again.duplicate }).toEqual({ id: sql, duplicate: true })
    expect(await publishSql({ idempotency_key: 'b' })).toBe(sql)
    expect(await counts()).toEqual({ events: 2, payloads: 2, keys: 2, tickets: 2 })
  })

  test('means one event as well where SQL knows the moment to the microsecond', async () => {
    const { db, publishSql, publishApi } = await world()
    const moment = '2026-01-02T03:04:05.678999Z'
    const sql = await publishSql({ idempotency_key: 'k', occurred_at: moment })
    const api = await publishApi({ idempotencyKey: 'k', occurredAt: new Date(moment) })
    expect(publicId('evt', api.eventId)).toBe(sql)
    const [event] = await db.sql`select occurred_at from postrider.events`
    expect(new Date(event?.occurred_at)).toEqual(new Date(moment))
  })

  test('with another body is a conflict, in whichever field it differs', async () => {
    const { publishSql, publishApi, counts } = await world()
    await publishApi({ idempotencyKey: 'k' })
    const others: Arguments[] = [
      { type: 'order.paid' },
      { payload: '{"total":1.10}' },
      { ordering_key: 'o' },
      { channels: ['a'] },
      { version: '1' },
      { occurred_at: '2026-01-02T03:04:05Z' },
    ]
    for (const other of others) {
      await expect(publishSql({ ...other, idempotency_key: 'k' })).rejects.toMatchObject({ code: 'PR007' })
    }
    expect(await counts()).toEqual({ events: 1, payloads: 1, keys: 1, tickets: 1 })
  })

  test('is another one for another tenant, and free again when it has expired', async () => {
    const { db, publishSql, addTenant, counts } = await world()
    await addTenant('acme')
    const ours = await publishSql({ idempotency_key: 'k' })
    const theirs = await publishSql({ idempotency_key: 'k', tenant: 'acme', payload: '1' })
    expect(await publishSql({ idempotency_key: 'k' })).toBe(ours)
    expect(await publishSql({ idempotency_key: 'k', tenant: 'acme', payload: '1' })).toBe(theirs)
    expect(await counts()).toMatchObject({ events: 2, keys: 2 })
    const [left] = await db.sql`
      select bool_and(expires_at - now() between interval '23 hours 59 minutes' and interval '24 hours 1 minute') as day from postrider.idempotency_keys`
    expect(left).toEqual({ day: true })

    await db.sql`update postrider.idempotency_keys set expires_at = now()`
    await publishSql({ idempotency_key: 'k', payload: '2' })
    expect(await counts()).toMatchObject({ events: 3, keys: 2 })
  })

  test.each([
    ['commits', 1],
    ['rolls back', 1],
  ])('makes whoever comes second wait until the first %s', async (how, events) => {
    const { db, publishSql, counts } = await world()
    const failure = new Error('on purpose')
    let second: Promise<string> = Promise.resolve('')
    let first = ''
    await db
      .transaction(async (tx) => {
        first = await publishSql({ idempotency_key: 'k' }, tx)
        second = publishSql({ idempotency_key: 'k' })
        await eventually(async () => {
          const waiting = await db.sql`
            select from pg_stat_activity where datname = current_database() and wait_event = 'transactionid'`
          expect(waiting).toHaveLength(1)
        })
        if (how === 'rolls back') throw failure
      })
      .catch((error) => expect(error).toBe(failure))
    expect((await second) === first).toBe(how === 'commits')
    expect(await counts()).toMatchObject({ events, keys: 1, tickets: 1 })
  })
})

describe('what eventPublish refuses is refused in SQL', () => {
  const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)
  const refusals: [code: string, column: string, message: string, given: Arguments][] = [
    ['PR001', 'type', '"no such type" is not an event type', { type: 'no such type' }],
    ['PR001', 'type', 'null is not an event type', { type: null }],
    ['PR001', 'type', 'is not an event type', { type: 'a\n' }],
    ['PR001', 'type', 'is not an event type', { type: 'a'.repeat(129) }],
    ['PR002', 'type', '"endpoint.disabled" is reserved', { type: 'endpoint.disabled' }],
    ['PR002', 'type', '"delivery.x" is reserved', { type: 'delivery.x' }],
    ['PR004', 'payload', 'null', { payload: null }],
    ['PR004', 'payload', 'not JSON', { payload: '' }],
    ['PR004', 'payload', 'Token "x" is invalid', { payload: '{"a":x}' }],
    ['PR004', 'payload', 'surrogate', { payload: '{"\\uD83D":1}' }],
    ['PR004', 'payload', 'surrogate', { payload: '{"a":"\\\\\\ude00\\ud83d","a":1}' }],
    ['PR004', 'payload', '64 levels', { payload: nested(65) }],
    ['PR004', 'payload', '64 levels', { payload: nested(100_000) }],
    ['PR004', 'payload', '64 levels', { payload: `{"a":${nested(64)},"a":1}` }],
    ['PR005', 'payload', '262145 bytes', { payload: `"${'ä'.repeat(131_071)}a"` }],
    ['PR006', 'tenant', '"nobody"', { tenant: 'nobody' }],
    ['PR006', 'tenant', '"prk_0123…"', { tenant: 'prk_0123456789' }],
    ['PR001', 'idempotency_key', '0 characters', { idempotency_key: '' }],
    ['PR001', 'ordering_key', '257 characters', { ordering_key: 'a'.repeat(257) }],
    ['PR001', 'ordering_key', '258 characters', { ordering_key: '😀'.repeat(129) }],
    ['PR001', 'version', '65 characters', { version: '1'.repeat(65) }],
    ['PR001', 'channels', 'there are 17', { channels: Array.from({ length: 17 }, () => 'a') }],
    ['PR001', 'channels', '"a b" is not a channel', { channels: ['a', 'a b'] }],
    ['PR001', 'channels', 'null is not a channel', { channels: [null] }],
    ['PR001', 'occurred_at', 'infinity', { occurred_at: 'infinity' }],
    ['PR001', 'occurred_at', 'BC', { occurred_at: '0001-12-31 23:59:59+00 BC' }],
  ]

  test('with a code, the parameter, the reason and what to do next', async () => {
    const { publishSql, counts } = await world()
    for (const [code, column_name, message, given] of refusals) {
      const refusal = await publishSql({ idempotency_key: 'k', ...given }).catch((error: unknown) => error)
      expect(refusal, JSON.stringify(given).slice(0, 80)).toMatchObject({
        code,
        column_name,
        message: expect.stringContaining(message),
        detail: 'Nothing of this event was written.',
        hint: expect.stringMatching(/^[A-Z].+\.$/),
      })
    }
    expect(await counts()).toEqual(NOTHING)
  })

  test('and what it takes is taken', async () => {
    const { db, publishSql } = await world()
    const payloads = [
      nested(64),
      ' {"a":1,"a":[1e400, 12345678901234567890.10]}\n',
      '"\\u0000 \\\\ud83d \\ud83d\\ude00 \\uD83D\\uDE00 😀"',
      `["${'[{'.repeat(100)}"]`,
      'null',
      `[${Array.from({ length: 100 }, () => '[]').join()}]`,
    ]
    for (const payload of payloads) await publishSql({ payload })
    const rows = await db.sql<{ payload: string }[]>`select payload from postrider.event_payloads order by id`
    expect(rows.map(({ payload }) => payload)).toEqual(payloads)
    await publishSql({ ordering_key: '😀'.repeat(128), version: '😀'.repeat(32), channels: Array(16).fill('a') })
    await publishSql({ occurred_at: '9999-12-31T23:59:59.999Z', tenant: null, channels: [], wake: null })
  })

  test('a type that is not in the catalogue, where the configuration says so; an archived one is not', async () => {
    const { db, publishSql } = await world()
    const add = (name: string, archived: boolean) => db.sql`
      insert into postrider.event_types (id, name, created_at, updated_at, archived_at)
      values (${newId(new Date())}, ${name}, now(), now(), ${archived ? new Date().toISOString() : null})`
    await add('order.placed', false)
    await add('order.gone', true)
    await publishSql({ type: 'order.unknown' })

    await savePublishRules(db.sql, { maxPayloadBytes: 1024, idempotencyHours: 1, refusesUnknownEventTypes: true })

    await publishSql({ idempotency_key: 'k' })
    const unknown = { code: 'PR003', hint: expect.stringContaining('eventTypeSave') }
    await expect(publishSql({ type: 'order.unknown' })).rejects.toMatchObject(unknown)
    await expect(publishSql({ type: 'order.gone' })).rejects.toMatchObject(unknown)
    await expect(publishSql({ payload: `"${'a'.repeat(1023)}"` })).rejects.toMatchObject({ code: 'PR005' })
    const [left] =
      await db.sql`select expires_at < now() + interval '61 minutes' as soon from postrider.idempotency_keys`
    expect(left).toEqual({ soon: true })
  })

  test('a tenant that was deleted', async () => {
    const { db, publishSql, addTenant } = await world()
    await addTenant('acme')
    await db.sql`update postrider.tenants set deleted_at = now() where key = 'acme'`
    await expect(publishSql({ tenant: 'acme' })).rejects.toMatchObject({ code: 'PR006' })
  })
})

test('where Postrider has not run for weeks, or never, that is said', async () => {
  const { db, publishSql } = await world()
  const day = new Date().toISOString().slice(0, 10).replaceAll('-', '')
  await db.sql.unsafe(`drop table postrider.events_${day}`)
  const notReady = { code: 'PR008', hint: expect.stringContaining('Start a process of Postrider') }
  await expect(publishSql()).rejects.toMatchObject(notReady)
  const never = await openDatabase()
  await expect(publishIn(never.sql)).rejects.toMatchObject(notReady)
})

test('a payload that is hostile to the checks takes no longer than a moment', async () => {
  const { publishSql } = await world()
  const payloads = [
    `[${'[],'.repeat(87_000)}[]]`,
    `[${'[{"a":"\\\\"}],'.repeat(18_000)}"\\\\ud83d"]`,
    `"${'\\ud83d\\ude00'.repeat(21_000)}"`,
    `"${'\\"'.repeat(131_000)}`,
    `[[[["${'\\\\'.repeat(131_000)}"]]]]`,
    '['.repeat(262_000),
    `[${'{"":'.repeat(60)}${'0,'.repeat(100_000)}`,
  ]
  for (const payload of payloads) {
    const begun = performance.now()
    await publishSql({ payload, wake: false }).catch(() => {})
    expect(performance.now() - begun, payload.slice(0, 20)).toBeLessThan(2000)
  }
})
