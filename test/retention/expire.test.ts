import { describe, expect, test } from 'vitest'
import { deliveryIdOf, type EndpointId, type EventId, newId, publicId, timeOf } from '../../schema/ids.ts'
import { OPERATIONAL_EVENTS } from '../../schema/operational-events.ts'
import { readAttemptFilter } from '../../src/attempts/filter.ts'
import type { Log } from '../../src/log.ts'
import { silentLog } from '../../src/log.ts'
import { receiverOf } from '../egress/world.ts'
import { eventually } from '../support/eventually.ts'
import { dayName, type RetentionWorld, retentionWorld } from './world.ts'

// Few days: each that passes costs partitions of every table. Deliveries are dropped with their payloads where both are kept as
// long: to see what became of them, rows are kept longer.
const LATER = { days: 6, bodyDays: 3 }
const AS_LONG = { days: 3, bodyDays: 3 }

/** Puts deliveries of some events to an endpoint there, as they are left by whatever keeps them pending. */
async function pending(world: RetentionWorld, endpoint: EndpointId, events: readonly EventId[], more: object = {}) {
  await world.db.sql`update postrider.events set routed_at = now() where id = any(${events as never}::uuid[])`
  const rows = events.map((event) => ({
    id: deliveryIdOf(event, endpoint),
    tenant_id: world.tenantId,
    event_id: event,
    endpoint_id: endpoint,
    event_type: 'invoice.paid',
    waiting_for: 'ALLOWANCE',
    created_at: world.clock.now().toISOString(),
    ...more,
  }))
  await world.db.sql`insert into postrider.deliveries ${world.db.sql(rows)}`
}

async function announced(world: RetentionWorld): Promise<{ data: Record<string, unknown> }[]> {
  const rows = await world.db.sql<{ payload: string }[]>`
    select payload from postrider.events join postrider.event_payloads using (id) where type = 'delivery.failed' order by id`
  return rows.map(({ payload }) => ({ data: JSON.parse(payload) }))
}

describe('what is still pending', () => {
  test('fails as EXPIRED before its payload goes, and is announced', async () => {
    const world = await retentionWorld({ retention: LATER })
    const endpoint = await world.addEndpoint('http://127.0.0.1:9/')
    await world.addEndpoint('http://127.0.0.1:9/listener', { eventTypes: ['delivery.failed'] })
    const [waits, retries] = await world.publish(2)
    await pending(world, endpoint, [waits as EventId])
    await pending(world, endpoint, [retries as EventId], {
      waiting_for: 'RETRY',
      next_attempt_at: new Date(world.clock.now().getTime() + 4 * 86_400_000).toISOString(),
      attempts_made: 3,
      scheduled_attempts_made: 3,
    })
    await world.pass(3)
    await world.retain()
    expect((await world.deliveries()).map(({ state }) => state)).toEqual(['PENDING', 'PENDING'])

    await world.pass(1)
    await world.retain()
    const gone = { state: 'FAILED', failedReason: 'EXPIRED', waitingFor: null, ticketId: null, nextAttemptAt: null }
    expect(await world.deliveries(endpoint)).toMatchObject([gone, gone])
    const news = await announced(world)
    expect(news.map(({ data }) => (data.event as { id: string }).id).sort()).toEqual(
      [waits, retries].map((id) => publicId('evt', id as EventId)).sort(),
    )
    for (const { data } of news) {
      expect(data).toMatchObject({ reason: 'EXPIRED', last_attempt: null, endpoint: { id: publicId('ep', endpoint) } })
      expect(Object.keys(data)).toEqual(Object.keys(OPERATIONAL_EVENTS['delivery.failed'].example))
    }
    await world.retain()
    expect(await announced(world)).toHaveLength(2)
  })

  test('is gone with its rows where these are not kept longer, and yet was announced', async () => {
    const world = await retentionWorld()
    const endpoint = await world.addEndpoint('http://127.0.0.1:9/')
    await world.addEndpoint('http://127.0.0.1:9/listener', { eventTypes: ['delivery.failed'] })
    await pending(world, endpoint, await world.publish())
    await world.pass(31)
    await world.retain()
    expect(await world.deliveries()).toEqual([])
    expect(await announced(world)).toMatchObject([{ data: { reason: 'EXPIRED' } }])
  })

  test('is not announced where nobody would hear of it: tests, operational events, deleted endpoints', async () => {
    const world = await retentionWorld({ retention: LATER })
    await world.addEndpoint('http://127.0.0.1:9/listener', { eventTypes: ['delivery.failed'] })
    const [endpoint, deleted] = [
      await world.addEndpoint('http://127.0.0.1:9/a'),
      await world.addEndpoint('http://127.0.0.1:9/b'),
    ]
    const [test, operational, ofDeleted] = await world.publish(3)
    const at = world.clock.now().toISOString()
    await pending(world, endpoint, [test as EventId], {
      waiting_for: 'REQUESTED',
      requested_trigger: 'TEST',
      requested_at: at,
    })
    await pending(world, endpoint, [operational as EventId], { event_type: 'endpoint.failing' })
    await pending(world, deleted, [ofDeleted as EventId])
    await world.change(deleted, { deletedAt: world.clock.now() })
    await world.pass(4)
    await world.retain()
    expect(await world.deliveries(endpoint)).toMatchObject([
      { state: 'FAILED', failedReason: 'EXPIRED' },
      { state: 'FAILED', failedReason: 'EXPIRED' },
    ])
    expect(await world.deliveries(deleted)).toMatchObject([{ state: 'CANCELLED', failedReason: null }])
    expect(await announced(world)).toEqual([])
  })

  test('a retry asked for by hand of a settled delivery is called off, and its state stays', async () => {
    const world = await retentionWorld({ retention: LATER })
    const endpoint = await world.addEndpoint('http://127.0.0.1:9/')
    await pending(world, endpoint, await world.publish(), {
      state: 'DELIVERED',
      settled_at: world.clock.now().toISOString(),
      waiting_for: 'REQUESTED',
      requested_trigger: 'MANUAL',
      requested_at: world.clock.now().toISOString(),
    })
    await world.pass(4)
    await world.retain()
    expect(await world.deliveries()).toMatchObject([{ state: 'DELIVERED', failedReason: null, requestedTrigger: null }])
    expect(await announced(world)).toEqual([])
  })

  test('more than one transaction holds, with tickets too: those are dropped by who claims them, and places are free', async () => {
    const receiver = await receiverOf()
    const world = await retentionWorld({ retention: LATER })
    const endpoint = await world.addEndpoint(receiver.url, { maxInFlight: 2 })
    await world.change(endpoint, { state: 'PAUSED', backlog: true })
    await pending(world, endpoint, await world.publish(450))
    const [ticketed] = await world.publish(1)
    const ticket = crypto.randomUUID()
    await pending(world, endpoint, [ticketed as EventId], { waiting_for: null, ticket_id: ticket })
    await world.tickets.enqueue(world.db.sql, 'deliver', [
      { id: ticket, data: { delivery: deliveryIdOf(ticketed as EventId, endpoint), endpoint } },
    ])
    await world.pass(4)
    await world.retain()
    const rows = await world.deliveries(endpoint)
    expect(rows.filter(({ failedReason }) => failedReason === 'EXPIRED')).toHaveLength(451)

    const again = await retentionWorld({ address: world.address, clock: world.clock, worker: true, retention: LATER })
    await again.change(endpoint, { state: 'ACTIVE' })
    await again.publish(3)
    await receiver.waitForRequests(3)
    await eventually(async () => expect(await again.ticketsIn('deliver')).toBe(0))
    expect(receiver.requests).toHaveLength(3)
    await eventually(async () => expect((await again.endpoint(endpoint)).backlog).toBe(false))
  })
})

describe('a lane', () => {
  async function laneWorld(onBlocked: 'WAIT' | 'SKIP_AFTER_FAILED' = 'WAIT') {
    const world = await retentionWorld({ retention: LATER })
    const endpoint = await world.addEndpoint('http://127.0.0.1:9/', { eventTypes: ['invoice.paid'] })
    await world.change(endpoint, { ordering: 'PER_ENDPOINT', onBlocked })
    const put = async (sequence: number, more: object) => {
      const [event] = await world.publish()
      await pending(world, endpoint, [event as EventId], { lane: '', sequence, ...more })
      return deliveryIdOf(event as EventId, endpoint)
    }
    const lane = async (head: string, blocked: boolean) => {
      await world.db.sql`insert into postrider.lanes (endpoint_id, lane, tenant_id, last_sequence, head, blocked)
        values (${endpoint}, '', ${world.tenantId}, 9, ${head}, ${blocked})`
      await world.db.sql`truncate postrider.lane_outbox`
    }
    const laneRow = async () => (await world.db.sql`select head, blocked from postrider.lanes`)[0]
    return { world, endpoint, put, lane, laneRow }
  }

  test('goes on behind a head that expired, over what expired behind it', async () => {
    const { world, put, lane, laneRow } = await laneWorld()
    const head = await put(1, {})
    await put(2, { waiting_for: 'ORDER' })
    await lane(head, false)
    await world.pass(1)
    const next = await put(3, { waiting_for: 'ORDER' })
    await world.db.sql`truncate postrider.lane_outbox`
    await world.pass(3)
    await world.retain()
    expect((await world.deliveries()).map(({ state, failedReason }) => [state, failedReason])).toEqual([
      ['FAILED', 'EXPIRED'],
      ['FAILED', 'EXPIRED'],
      ['PENDING', null],
    ])
    expect(await laneRow()).toEqual({ head: next, blocked: false })
    expect((await world.deliveries()).at(-1)).toMatchObject({ ticketId: expect.any(String) })
  })

  test('goes on behind a failed head that blocks it, for that one can never be delivered', async () => {
    const { world, put, lane, laneRow } = await laneWorld()
    const settled = world.clock.now().toISOString()
    const head = await put(1, { state: 'FAILED', failed_reason: 'EXHAUSTED', waiting_for: null, settled_at: settled })
    await lane(head, true)
    await world.pass(1)
    const next = await put(2, { waiting_for: 'ORDER' })
    await world.db.sql`truncate postrider.lane_outbox`
    await world.pass(2)
    await world.retain()
    expect(await laneRow()).toEqual({ head, blocked: true })
    await world.pass(1)
    await world.retain()
    expect(await laneRow()).toEqual({ head: next, blocked: false })
    expect((await world.deliveries())[0]).toMatchObject({ state: 'FAILED', failedReason: 'EXHAUSTED' })
  })

  test('is empty when all of it expired', async () => {
    const { world, put, lane, laneRow } = await laneWorld()
    await lane(await put(1, {}), false)
    await world.pass(4)
    await world.retain()
    expect(await laneRow()).toEqual({ head: null, blocked: false })
  })
})

describe('an event that was not routed when its day goes', () => {
  const errors: object[] = []
  const log = { ...silentLog, error: (...args: object[]) => errors.push(...args) } as unknown as Log

  test('is routed first, also when its ticket was lost', async () => {
    const world = await retentionWorld({ retention: LATER })
    const endpoint = await world.addEndpoint('http://127.0.0.1:9/', { eventTypes: ['invoice.paid'] })
    await world.change(endpoint, { state: 'PAUSED' })
    const [event] = await world.publish()
    await world.db.sql`delete from postrider_queue.job where name = 'outbox'`
    await world.pass(4)
    await world.retain()
    // Nobody routes here: its day stays.
    expect(await world.daysOf('event_payloads')).toContain(dayName(timeOf(event as EventId)))
    expect(await world.ticketsIn('outbox')).toBe(1)

    const routing = await retentionWorld({ address: world.address, clock: world.clock, worker: true, retention: LATER })
    await eventually(async () => expect(await routing.deliveries()).toHaveLength(1))
    await routing.retain()
    expect(await routing.deliveries()).toMatchObject([{ state: 'FAILED', failedReason: 'EXPIRED' }])
    expect(await routing.daysOf('event_payloads')).not.toContain(dayName(timeOf(event as EventId)))
  })

  test('and cannot be holds its day for a week, and is then counted in the log', async () => {
    const world = await retentionWorld({ log, retention: AS_LONG })
    const events = await world.publish(3)
    await world.pass(10)
    await world.retain()
    expect(await world.count('events')).toBe(3)
    expect(errors).toEqual([])
    await world.pass(1)
    await world.retain()
    expect(await world.count('events')).toBe(0)
    expect(errors[0]).toMatchObject({ events: 3, first: publicId('evt', events[0] as EventId) })
  })
})

describe('the feed', () => {
  test('tells of a gap exactly where something after the cursor was dropped', async () => {
    const receiver = await receiverOf()
    const world = await retentionWorld({ worker: true, retention: AS_LONG })
    await world.addEndpoint(receiver.url)
    const record = async (count: number) => {
      const before = (await world.attempts()).length
      await world.publish(count)
      await eventually(async () => expect(await world.attempts()).toHaveLength(before + count))
    }
    const first = async (after: string) => {
      const feed = await world.feed.subscribe({ tenant: world.tenantId, filter: readAttemptFilter(null), after })
      const { value } = await feed.next()
      await feed.return?.()
      return value
    }
    const beforeAll = await world.feed.cursor(world.tenantId)
    await record(2)
    const atFirst = world.cursorsOf(world.tenantId).write({ position: 1, atMs: world.clock.now().getTime() })
    const atSecond = await world.feed.cursor(world.tenantId)
    await world.pass(2)
    await record(1)
    await world.pass(2)
    await world.retain()
    expect(await world.attempts()).toHaveLength(1)
    for (const cursor of [beforeAll, atFirst]) {
      const gap = await first(cursor)
      expect(gap).toMatchObject({ kind: 'gap', reason: 'RETENTION' })
    }
    // Its day is gone, and nothing after it was dropped.
    expect(await first(atSecond)).toMatchObject({ kind: 'attempt', attempt: { position: 3 } })

    await world.pass(4)
    await world.retain()
    expect(await world.attempts()).toEqual([])
    const now = await world.feed.cursor(world.tenantId)
    expect(await first(atSecond)).toMatchObject({ kind: 'gap', reason: 'RETENTION' })
    const live = await world.feed.subscribe({ tenant: world.tenantId, filter: readAttemptFilter(null), after: now })
    const next = live.next()
    await world.publish()
    expect((await next).value).toMatchObject({ kind: 'attempt', attempt: { position: 4 } })
    await live.return?.()
  })

  test('tells of a gap in the middle where days are dropped while the past is being read', async () => {
    const world = await retentionWorld({ retention: AS_LONG })
    const from = await world.feed.cursor(world.tenantId)
    const record = (count: number) =>
      world.db.sql`
        insert into postrider.attempts (id, tenant_id, delivery_id, event_id, endpoint_id, event_type, position, number, trigger, duration_ms, succeeded, method, url, request_headers, request_bytes)
        select overlay(${newId(world.clock.now())}::text placing lpad(n::text, 4, '0') from 33)::uuid, ${world.tenantId}, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
          'a', nextval('postrider.attempt_positions'), 1, 'SCHEDULE', 1, true, 'POST', 'http://127.0.0.1/', '[]', 2 from generate_series(1, ${count}) n`
    await record(700)
    await world.pass(1)
    await record(10)
    const feed = await world.feed.subscribe({ tenant: world.tenantId, filter: readAttemptFilter(null), after: from })
    const read = async (): Promise<unknown> => {
      const { value } = await feed.next()
      return value.kind === 'attempt' ? value.attempt.position : value.reason
    }
    expect(await read()).toBe(1)
    await world.pass(3)
    await world.retain()
    const seen: unknown[] = []
    while (seen.at(-1) !== 710) seen.push(await read())
    const gap = seen.indexOf('RETENTION')
    expect(seen.slice(0, gap)).toEqual(Array.from({ length: gap }, (_, index) => index + 2))
    expect(seen.slice(gap + 1)).toEqual(Array.from({ length: 10 }, (_, index) => 701 + index))
    await feed.return?.()
  })
})

test('what goes to an endpoint whose row is missing is ended as well, and does not hold up the others', async () => {
  const world = await retentionWorld({ retention: LATER })
  const endpoint = await world.addEndpoint('http://127.0.0.1:9/')
  const events = await world.publish(2)
  await pending(world, endpoint, events)
  const missing = newId<'ep'>(new Date())
  await pending(world, missing, events)
  await world.pass(4)
  await world.retain()
  expect((await world.deliveries(missing)).map(({ state }) => state)).toEqual(['CANCELLED', 'CANCELLED'])
  expect((await world.deliveries(endpoint)).map(({ state }) => state)).toEqual(['FAILED', 'FAILED'])
}, 20_000)
