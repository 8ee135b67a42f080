import { describe, expect, test } from 'vitest'
import {
  type AttemptId,
  type DeliveryId,
  type EndpointId,
  type EventId,
  newId,
  type TenantId,
} from '../../schema/ids.ts'
import { createFeedCursors, type Place } from '../../src/attempts/cursor.ts'
import type { FeedItem } from '../../src/attempts/feed.ts'
import { readAttemptFilter } from '../../src/attempts/filter.ts'
import { type NewAttempt, recordAttempts } from '../../src/attempts/record.ts'
import { receiverOf } from '../egress/world.ts'
import { type Engine, KEYS, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

const EVERYTHING = readAttemptFilter(null)
type Feed = Engine['feed']
type Subscription = AsyncIterableIterator<FeedItem>

async function world(options: Parameters<typeof startEngine>[0] = {}) {
  const engine = await startEngine({ worker: false, ...options })
  const subscribe = (after: string | null = null, more: { feed?: Feed; filter?: typeof EVERYTHING } = {}) =>
    (more.feed ?? engine.feed).subscribe({ tenant: engine.tenantId, filter: more.filter ?? EVERYTHING, after })
  /** Records attempts in one transaction, as settling does, and says so. */
  const record = async (count: number, more: Partial<NewAttempt> = {}) => {
    const made = Array.from({ length: count }, () => attemptOf(engine.tenantId, more))
    await engine.db.transaction((tx) => recordAttempts(tx, made))
    engine.wake.signal('attempts')
    return made.map(({ id }) => id as AttemptId)
  }
  const cursors = engine.cursorsOf(engine.tenantId)
  const placeOf = (cursor: string) => cursors.read(cursor, []) as Place
  return { engine, subscribe, record, cursors, placeOf }
}

function attemptOf(tenantId: TenantId, more: Partial<NewAttempt> = {}): NewAttempt {
  const now = new Date()
  return {
    id: newId<'att'>(now),
    tenantId,
    deliveryId: newId<'dlv'>(now) as DeliveryId,
    eventId: newId<'evt'>(now) as EventId,
    endpointId: newId<'ep'>(now) as EndpointId,
    eventType: 'invoice.paid',
    number: 1,
    trigger: 'SCHEDULE',
    durationMs: 1,
    succeeded: true,
    method: 'POST',
    url: 'http://127.0.0.1/hook',
    requestHeaders: '[]',
    requestBytes: 2,
    format: 'ENVELOPE',
    status: 200,
    responseBody: null,
    ...more,
  }
}

async function nextItem(subscription: Subscription): Promise<FeedItem> {
  const { value, done } = await subscription.next()
  if (done) throw new Error('The feed has ended')
  return value
}

/** Takes this many attempts; heartbeats between them are passed over. */
async function take(subscription: Subscription, count: number): Promise<{ ids: string[]; cursor: string }> {
  const ids: string[] = []
  let cursor = ''
  while (ids.length < count) {
    const item = await nextItem(subscription)
    cursor = item.cursor
    if (item.kind === 'attempt') ids.push(item.attempt.id)
  }
  return { ids, cursor }
}

async function recorded({ attempts }: Engine): Promise<string[]> {
  return (await attempts()).map(({ id }) => id)
}

describe('a subscriber', () => {
  test('gets what is recorded from now on, in order, and nothing from before', async () => {
    const { subscribe, record } = await world()
    await record(3)
    const subscription = await subscribe()
    const first = take(subscription, 5)
    const made = [...(await record(2)), ...(await record(3))]
    expect((await first).ids).toEqual(made)
  })

  test('with a cursor gets everything recorded since, over many pages', async () => {
    const { engine, subscribe, record } = await world()
    await record(1)
    const cursor = await engine.feed.cursor(engine.tenantId)
    for (let i = 0; i < 3; i++) await record(500)
    const subscription = await subscribe(cursor)
    const { ids } = await take(subscription, 1500)
    expect(ids).toEqual((await recorded(engine)).slice(1))
  })

  test('gets what its filter lets through, of its own tenant', async () => {
    const { engine, subscribe, record } = await world()
    const cursor = await engine.feed.cursor(engine.tenantId)
    const filter = readAttemptFilter({ succeeded: false })
    const live = await subscribe(null, { filter })
    const first = take(live, 1)
    await record(300)
    await record(1, { succeeded: false, status: 500, tenantId: newId<'ten'>(new Date()) })
    const failed = await record(1, { succeeded: false, status: 500 })
    expect((await first).ids).toEqual(failed)
    expect((await take(await subscribe(cursor, { filter }), 1)).ids).toEqual(failed)
  })

  test('with a cursor of another database is told of the gap, and goes on from now', async () => {
    const { engine, subscribe, record } = await world()
    await record(3)
    const elsewhere = createFeedCursors(KEYS, 'ffffffffffff')(engine.tenantId)
    const subscription = await subscribe(elsewhere.write({ position: 1, atMs: Date.now() }))
    const gap = await nextItem(subscription)
    expect(gap).toMatchObject({ kind: 'gap', reason: 'FOREIGN_CURSOR' })
    const first = take(subscription, 2)
    const made = await record(2)
    expect((await first).ids).toEqual(made)
    expect((await take(await subscribe(gap.cursor), 2)).ids).toEqual(made)
  })

  test('with a cursor from before what was dropped is told of the gap', async () => {
    const { engine, subscribe, record } = await world()
    const cursor = await engine.feed.cursor(engine.tenantId)
    await engine.db.sql`update postrider.installation set dropped_position = 1`
    const subscription = await subscribe(cursor)
    const [made] = await record(1)
    expect(await nextItem(subscription)).toMatchObject({ kind: 'gap', reason: 'RETENTION' })
    expect(await nextItem(subscription)).toMatchObject({ kind: 'attempt', attempt: { id: made } })
  })

  test('with what is no cursor is refused', async () => {
    const { engine, subscribe } = await world()
    const foreign = await engine.feed.cursor(newId<'ten'>(new Date()))
    for (const after of ['', 'nonsense', foreign, Buffer.from('a:b:c').toString('base64url')]) {
      await expect(subscribe(after)).rejects.toMatchObject({ code: 'INVALID_INPUT', path: ['after'] })
    }
    expect(engine.feed.subscribers()).toBe(0)
  })

  test('that leaves while it waits is let go at once', async () => {
    const { engine, subscribe, record } = await world()
    const subscription = await subscribe()
    const first = take(subscription, 1)
    await record(1)
    await first
    const waiting = subscription.next()
    // The past is over and the queue empty: after this turn of the event loop it does wait.
    await new Promise(setImmediate)
    expect(engine.feed.subscribers()).toBe(1)
    await subscription.return?.()
    expect(await waiting).toEqual({ value: undefined, done: true })
    expect(engine.feed.subscribers()).toBe(0)
    expect(await subscription.next()).toEqual({ value: undefined, done: true })
  })

  test('that leaves while the past is read gets nothing more', async () => {
    const { engine, subscribe, record } = await world()
    const cursor = await engine.feed.cursor(engine.tenantId)
    await record(10)
    const subscription = await subscribe(cursor)
    const waiting = subscription.next()
    // After this turn of the event loop the past has been asked for; its answer takes longer.
    await new Promise(setImmediate)
    await subscription.return?.()
    expect(await waiting).toEqual({ value: undefined, done: true })
    expect(engine.feed.subscribers()).toBe(0)
  })
})

describe('a heartbeat', () => {
  test('carries a cursor that nothing is missed after', async () => {
    const { subscribe, record } = await world({ heartbeatMs: 30 })
    const subscription = await subscribe()
    const [made] = await record(1)
    const next = async (kind: string) => {
      // Heartbeats may come before it, too.
      for (;;) {
        const item = await nextItem(subscription)
        if (item.kind === kind) return item
      }
    }
    expect(await next('attempt')).toMatchObject({ attempt: { id: made } })
    const beat = await next('heartbeat')
    expect(beat).toMatchObject({ at: expect.any(Date) })
    await subscription.return?.()
    const missed = await record(3)
    expect((await take(await subscribe(beat.cursor), 3)).ids).toEqual(missed)
  })

  test('does not go back behind what a subscriber has seen elsewhere', async () => {
    const { engine, subscribe, placeOf } = await world({ heartbeatMs: 20 })
    const idle = await subscribe()
    const waiting = idle.next()
    await waiting
    await engine.db.transaction((tx) => recordAttempts(tx, [attemptOf(engine.tenantId), attemptOf(engine.tenantId)]))
    const seen = await engine.feed.cursor(engine.tenantId)
    const beat = await nextItem(await subscribe(seen))
    expect(beat.kind).toBe('heartbeat')
    expect(placeOf(beat.cursor).position).toBeGreaterThanOrEqual(placeOf(seen).position)
  })
})

test('a subscriber that is too slow is ended alone, and misses nothing when it comes back', async () => {
  const { engine, subscribe, record } = await world()
  const slow = await subscribe()
  const fast = await subscribe()
  const first = take(slow, 1)
  const all = take(fast, 1501)
  await record(1)
  const { ids: seen } = await first
  // In steps that the fast one keeps up with.
  for (let i = 0; i < 15; i++) await record(100)

  expect((await all).ids).toEqual(await recorded(engine))
  await eventually(() => expect(engine.feed.subscribers()).toBe(1))
  const overflow = await slow.next().then(
    () => null,
    (error) => error,
  )
  expect(overflow).toMatchObject({ name: 'FeedOverflow', code: 'FEED_OVERFLOW' })
  expect(await slow.next()).toMatchObject({ done: true })

  const again = await take(await subscribe(overflow.cursor), 1500)
  expect([...seen, ...again.ids]).toEqual(await recorded(engine))
})

test('nothing is lost or doubled while eight transactions record at once and commit when they like', async () => {
  const { engine, subscribe, record, cursors: written, placeOf } = await world()
  const before = await record(5)
  const cursors = [
    await engine.feed.cursor(engine.tenantId),
    null,
    written.write({ ...placeOf(await engine.feed.cursor(engine.tenantId)), position: 2 }),
  ]
  const subscriptions = await Promise.all(cursors.map((cursor) => subscribe(cursor)))
  const reading = subscriptions.map((subscription, i) => take(subscription, i === 2 ? 203 : 200))

  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let i = 0; i < 5; i++) {
        await engine.db.transaction(async (tx) => {
          await tx`select pg_sleep(${Math.random() * 0.02})`
          await recordAttempts(
            tx,
            Array.from({ length: 5 }, () => attemptOf(engine.tenantId)),
          )
          await tx`select pg_sleep(${Math.random() * 0.02})`
        })
        engine.wake.signal('attempts')
      }
    }),
  )

  const all = await recorded(engine)
  expect(all.slice(0, 5)).toEqual(before)
  const [fromCursor, fromNow, fromEarlier] = await Promise.all(reading)
  expect(fromCursor?.ids).toEqual(all.slice(5))
  expect(fromNow?.ids).toEqual(all.slice(5))
  expect(fromEarlier?.ids).toEqual(all.slice(2))
})

test('a client that goes and comes back while four processes settle 500 attempts gets each exactly once', async () => {
  const { engine, subscribe } = await world()
  const workers = await Promise.all(
    Array.from({ length: 4 }, () => startEngine({ address: engine.address, concurrency: 16 })),
  )
  const receiver = await receiverOf()
  await engine.addEndpoint(receiver.url, { maxInFlight: 64 })
  const feeds = [engine, ...workers].map(({ feed }) => feed)

  let cursor: string | null = await engine.feed.cursor(engine.tenantId)
  const ids: string[] = []
  const publishing = engine.publish(500)
  for (let visit = 0; ids.length < 500; visit++) {
    const subscription = await subscribe(cursor, { feed: feeds[visit % feeds.length] as Feed })
    const visited = await take(subscription, Math.min(500 - ids.length, 1 + (visit % 40)))
    // It may be waiting for the next one when it goes.
    const waiting = visit % 2 ? subscription.next() : null
    await subscription.return?.()
    const last = await waiting
    if (last && !last.done && last.value.kind === 'attempt') ids.push(...visited.ids, last.value.attempt.id)
    else ids.push(...visited.ids)
    cursor = last && !last.done ? last.value.cursor : visited.cursor
  }
  await publishing

  expect(ids).toEqual(await recorded(engine))
  expect(ids).toHaveLength(500)
  expect(feeds.map((feed) => feed.subscribers())).toEqual(feeds.map(() => 0))
})

test('attempts recorded once more, because their COMMIT got no answer, stay as they are', async () => {
  const { engine } = await world()
  const made = [attemptOf(engine.tenantId, { responseBody: Buffer.from('ok') }), attemptOf(engine.tenantId)]
  await engine.db.transaction((tx) => recordAttempts(tx, made))
  const before = await engine.attempts()
  await engine.db.transaction((tx) => recordAttempts(tx, made))
  expect(await engine.attempts()).toEqual(before)
})
