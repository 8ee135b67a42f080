import { describe, expect, test } from 'vitest'
import { type DeliveryId, deliveryIdOf, type EndpointId, type EventId, newId, publicId } from '../../schema/ids.ts'
import { saveEventType } from '../../src/event-types/save.ts'
import { LOCKS } from '../../src/postgres/locks.ts'
import { expungeEvent } from '../../src/retention/expunge.ts'
import { route } from '../../src/routing/route.ts'
import { receiverOf } from '../egress/world.ts'
import { startApi } from '../graphql/api.ts'
import { type Engine, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { viewerOf } from '../support/viewer.ts'

const CANARY = 'canary-7f3a'

async function publishCanary({ publisher, tenantId }: Engine, more: object = {}): Promise<EventId> {
  const { eventId } = await publisher.publish({ tenantId, type: 'invoice.paid', payload: { secret: CANARY }, ...more })
  return eventId
}

/** Every table, those of the queue as well, in which the canary stands. */
async function tablesWithCanary({ db }: Engine): Promise<string[]> {
  const tables = await db.sql<{ name: string }[]>`
    select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname like 'postrider%' and c.relkind = 'r'`
  const found: string[] = []
  const hex = Buffer.from(CANARY).toString('hex')
  for (const { name } of tables) {
    const rows = await db.sql.unsafe(
      `select from ${name} t where t::text like '%${CANARY}%' or t::text like '%${hex}%'`,
    )
    if (rows.length > 0) found.push(name.replace(/_[0-9]{8}$/, ''))
  }
  return found.sort()
}

test('nor what its schema and the filters of endpoints found wrong with it', async () => {
  const engine = await startEngine()
  const schema = { type: 'object', additionalProperties: false }
  const version = { version: '1', schema: JSON.stringify(schema), example: '{}' }
  const type = { name: 'invoice.paid', validation: 'WARN' as const, version }
  await saveEventType(engine, engine.admin, type, false)
  const endpoint = await engine.addEndpoint((await receiverOf()).url)
  await engine.change(endpoint, { filter: `payload[payload["${CANARY}"]] == 1` })
  const { eventId } = await engine.publisher.publish({
    tenantId: engine.tenantId,
    type: 'invoice.paid',
    payload: { [CANARY]: `no field ${CANARY}` },
  })
  await eventually(async () => expect(await engine.db.sql`select from postrider.filter_faults`).toHaveLength(1))
  const [event] = await engine.db.sql`select schema_faults::text as faults from postrider.events`
  expect(event?.faults).toContain(CANARY)

  await expungeEvent(engine, engine.admin, eventId)
  // The filter itself is the endpoint's.
  expect(await tablesWithCanary(engine)).toEqual(['postrider.endpoints'])
})

test('nothing of the payload is left in any table, and the tombstone says when', async () => {
  const receiver = await receiverOf()
  receiver.answers({ status: 500, body: `I cannot read ${CANARY}` }, { status: 200, body: CANARY })
  const elsewhere = await receiverOf()
  elsewhere.answers({ status: 302, headers: { location: `/${CANARY}`, 'x-got': CANARY } })
  const engine = await startEngine()
  await engine.addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: [] } })
  await engine.addEndpoint(elsewhere.url)
  await engine.addEndpoint((await receiverOf()).url, { eventTypes: ['delivery.*', 'endpoint.*'] })
  const id = await publishCanary(engine, { idempotencyKey: 'once' })
  await eventually(async () => expect(await engine.deliveries()).toHaveLength(3))
  await eventually(async () => expect(await engine.ticketsIn('deliver')).toBe(0))
  const echoes = ['postrider.attempt_bodies', 'postrider.attempts', 'postrider.event_payloads']
  expect(await tablesWithCanary(engine)).toEqual(echoes)

  await expungeEvent(engine, engine.admin, id)
  expect(await tablesWithCanary(engine)).toEqual([])
  const [row] = await engine.db
    .sql`select type, expunged_at is not null as expunged from postrider.events where id = ${id}`
  expect(row).toEqual({ type: 'invoice.paid', expunged: true })
  // Asked for again with its key, it is still the same event, and does not come back.
  const input = { tenantId: engine.tenantId, type: 'invoice.paid', payload: { secret: CANARY }, idempotencyKey: 'once' }
  expect(await engine.publisher.publish(input)).toEqual({ eventId: id, duplicate: true, warnings: [] })
  expect(await tablesWithCanary(engine)).toEqual([])
})

test('once more changes nothing', async () => {
  const engine = await startEngine({ worker: false })
  const id = await publishCanary(engine)
  await expungeEvent(engine, engine.admin, id)
  const before = await engine.db.sql`select * from postrider.events`
  await expungeEvent(engine, engine.admin, id)
  expect(await engine.db.sql`select * from postrider.events`).toEqual(before)
})

describe('a delivery that is', () => {
  const at = new Date().toISOString()
  const settled = { waiting_for: null, settled_at: at }
  const byHand = { waiting_for: 'REQUESTED', requested_trigger: 'MANUAL', requested_at: at }
  test.each`
    what                                  | row                                                            | becomes
    ${'waiting for room'}                 | ${{ waiting_for: 'ALLOWANCE' }}                                | ${'CANCELLED'}
    ${'waiting for its retry'}            | ${{ waiting_for: 'RETRY', next_attempt_at: at }}               | ${'CANCELLED'}
    ${'waiting in its lane'}              | ${{ waiting_for: 'ORDER', lane: 'a', sequence: 1 }}            | ${'CANCELLED'}
    ${'admitted'}                         | ${{ waiting_for: null, ticket_id: crypto.randomUUID() }}       | ${'CANCELLED'}
    ${'asked for by hand'}                | ${byHand}                                                      | ${'CANCELLED'}
    ${'delivered'}                        | ${{ ...settled, state: 'DELIVERED' }}                          | ${'DELIVERED'}
    ${'delivered, and asked for by hand'} | ${{ ...settled, ...byHand, state: 'DELIVERED' }}               | ${'DELIVERED'}
    ${'failed'}                           | ${{ ...settled, state: 'FAILED', failed_reason: 'EXHAUSTED' }} | ${'FAILED'}
    ${'cancelled'}                        | ${{ ...settled, state: 'CANCELLED' }}                          | ${'CANCELLED'}
  `('$what is $becomes, and is not retried', async ({ row, becomes }) => {
    const engine = await startEngine({ worker: false })
    const endpoint = await engine.addEndpoint('http://127.0.0.1:9/')
    const event = await publishCanary(engine)
    const id = await insertDelivery(engine, endpoint, event, row)
    await expungeEvent(engine, engine.admin, event)
    expect(await engine.deliveries()).toMatchObject([
      { state: becomes, ticketId: null, waitingFor: null, nextAttemptAt: null, requestedTrigger: null },
    ])
    await expect(engine.redeliverer.retry(engine.admin, id)).rejects.toMatchObject({
      code: 'PAYLOAD_GONE',
      message: 'The payload of this event was expunged: there is nothing to send.',
    })
  })
})

test('in flight is cancelled all the same, and what the receiver echoes is not kept', async () => {
  const receiver = await receiverOf()
  const { promise: expunged, resolve: answer } = Promise.withResolvers<void>()
  receiver.answers(() => expunged.then(() => ({ status: 200, body: CANARY, headers: { 'x-got': CANARY } })))
  const engine = await startEngine()
  await engine.addEndpoint(receiver.url)
  const id = await publishCanary(engine)
  await receiver.waitForRequests(1)
  await expungeEvent(engine, engine.admin, id)
  answer()
  await eventually(async () => expect(await engine.attempts()).toHaveLength(1))
  expect(await engine.deliveries()).toMatchObject([{ state: 'CANCELLED', attemptsMade: 1 }])
  expect((await engine.attempts())[0]).toMatchObject({ succeeded: true, responseBytes: CANARY.length })
  expect(await tablesWithCanary(engine)).toEqual([])
})

test('of an attempt whose claim was lost nothing is kept either, if it is recorded at that very moment', async () => {
  const receiver = await receiverOf()
  const { promise: sent, resolve: answer } = Promise.withResolvers<void>()
  receiver.answers(() => sent.then(() => ({ status: 500, body: CANARY, headers: { 'x-got': CANARY } })))
  const engine = await startEngine()
  const endpoint = await engine.addEndpoint(receiver.url)
  const id = await publishCanary(engine)
  await receiver.waitForRequests(1)
  // Somebody else has its ticket, and nobody may record an attempt yet.
  await engine.db.sql`delete from postrider_queue.job where name = 'deliver'`
  const recording = Promise.withResolvers<void>()
  const held = Promise.withResolvers<void>()
  const lock = engine.db.transaction(async (tx) => {
    await tx`select pg_advisory_xact_lock(${LOCKS.attemptPositions}::bigint)`
    held.resolve()
    await recording.promise
  })
  await held.promise
  answer()
  await eventually(async () => expect(await waitingForLocks(engine)).toBe(1), 10_000)
  const expunged = expungeEvent(engine, engine.admin, id)
  await eventually(async () => expect(await waitingForLocks(engine)).toBe(2), 10_000)
  recording.resolve()
  await Promise.all([lock, expunged])
  expect(await engine.attempts()).toMatchObject([{ endpointId: endpoint, status: 500, responseHeaders: null }])
  expect(await tablesWithCanary(engine)).toEqual([])
})

async function waitingForLocks({ db }: Engine): Promise<number> {
  const rows = await db.sql`
    select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
  return rows.length
}

test('its lane goes on behind it, also where it had failed and held that up', async () => {
  const engine = await startEngine({ worker: false })
  const endpoint = await engine.addEndpoint('http://127.0.0.1:9/')
  await engine.change(endpoint, { ordering: 'PER_ENDPOINT' })
  const [first, second, third] = [await publishCanary(engine), await publishCanary(engine), await publishCanary(engine)]
  const head = await insertDelivery(engine, endpoint, first, {
    lane: '',
    sequence: 1,
    state: 'FAILED',
    waiting_for: null,
    settled_at: new Date().toISOString(),
  })
  const next = await insertDelivery(engine, endpoint, second, { lane: '', sequence: 2, waiting_for: 'ORDER' })
  const last = await insertDelivery(engine, endpoint, third, { lane: '', sequence: 3, waiting_for: 'ORDER' })
  await engine.db.sql`insert into postrider.lanes (endpoint_id, lane, tenant_id, last_sequence, head, blocked)
    values (${endpoint}, '', ${engine.tenantId}, 3, ${head}, true)`
  const turn = async () => (await engine.db.sql`select head, blocked from postrider.lanes`)[0]

  await expungeEvent(engine, engine.admin, first)
  expect(await turn()).toEqual({ head: next, blocked: false })
  await expungeEvent(engine, engine.admin, second)
  expect(await turn()).toEqual({ head: last, blocked: false })
})

describe('an event that is not routed yet', () => {
  test('goes nowhere, in no lane either', async () => {
    const receiver = await receiverOf()
    const engine = await startEngine({ worker: false })
    const endpoint = await engine.addEndpoint(receiver.url)
    await engine.change(endpoint, { ordering: 'PER_ENDPOINT' })
    const id = await publishCanary(engine)
    await expungeEvent(engine, engine.admin, id)
    const worker = await startEngine({ address: engine.address })
    await worker.publish()
    await receiver.waitForRequests(1)
    expect(await worker.deliveries()).toHaveLength(1)
  })

  test('and is being routed at that very moment has either all its deliveries cancelled or none', async () => {
    const engine = await startEngine({ worker: false })
    for (let i = 0; i < 3; i++) await engine.addEndpoint('http://127.0.0.1:9/')
    for (let round = 0; round < 20; round++) {
      const id = await publishCanary(engine)
      const { claims } = await engine.tickets.claim<{ events: EventId[] }>('outbox', 1)
      const outcomes = await Promise.allSettled([
        route(engine, claims),
        new Promise((resolve) => setTimeout(resolve, round % 10)).then(() => expungeEvent(engine, engine.admin, id)),
      ])
      expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled'])
    }
    const states = new Set((await engine.deliveries()).map(({ state }) => state))
    expect([...states].filter((state) => state !== 'CANCELLED')).toEqual([])
    expect(await tablesWithCanary(engine)).toEqual([])
  })
})

describe('eventExpunge', () => {
  const EXPUNGE =
    'mutation ($id: ID!) { eventExpunge(id: $id) { event { id type payload payloadJson expungedAt } userErrors { code path } } }'

  test('answers what is left of the event', async () => {
    const api = await startApi()
    const event = publicId('evt', await publishCanary(api))
    expect(await api.ask('query ($id: ID!) { event(id: $id) { expungedAt } }', { id: event })).toEqual({
      event: { expungedAt: null },
    })
    expect(await api.ask(EXPUNGE, { id: event })).toEqual({
      eventExpunge: {
        event: { id: event, type: 'invoice.paid', payload: null, payloadJson: null, expungedAt: expect.any(String) },
        userErrors: [],
      },
    })
  })

  test('knows neither absent nor foreign events, and changes nothing about these', async () => {
    const api = await startApi()
    const foreign = await publishCanary(api)
    const key = await api.newKey({ tenantId: await api.newTenant('acme'), scopes: ['MANAGE'] })
    const refused = (code: string) => ({ eventExpunge: { event: null, userErrors: [{ code, path: ['id'] }] } })
    for (const id of [publicId('evt', foreign), publicId('evt', newId(new Date()))])
      expect(await api.ask(EXPUNGE, { id }, key)).toEqual(refused('NOT_FOUND'))
    expect(await api.ask(EXPUNGE, { id: 'evt_nonsense' }, key)).toEqual(refused('INVALID_INPUT'))
    expect(await tablesWithCanary(api)).toEqual(['postrider.event_payloads'])
  })

  test('does not wait for a foreign tenant', async () => {
    const engine = await startEngine({ worker: false })
    const foreign = await publishCanary(engine)
    await engine.db.transaction(async (tx) => {
      await tx`select from postrider.tenants for no key update`
      await expect(expungeEvent(engine, viewerOf(newId<'ten'>(new Date())), foreign)).rejects.toMatchObject({
        code: 'NOT_FOUND',
      })
    })
  })

  test('tells why a delivery failed, and only then', async () => {
    const api = await startApi()
    const endpoint = await api.addEndpoint('http://127.0.0.1:9/')
    const at = new Date().toISOString()
    const failed = { waiting_for: null, settled_at: at, state: 'FAILED' }
    for (const row of [{ ...failed, failed_reason: 'EXPIRED' }, failed, { waiting_for: 'ALLOWANCE' }])
      await insertDelivery(api, endpoint, await publishCanary(api), row)
    const { deliveries } = await api.ask('{ deliveries(last: 3) { nodes { state failedReason } } }')
    expect(deliveries?.nodes).toEqual([
      { state: 'PENDING', failedReason: null },
      { state: 'FAILED', failedReason: 'EXHAUSTED' },
      { state: 'FAILED', failedReason: 'EXPIRED' },
    ])
  })
})

test('a delivery that has used up its schedule failed as EXHAUSTED', async () => {
  const receiver = await receiverOf()
  receiver.answers(500)
  const engine = await startEngine()
  await engine.addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: [] } })
  await engine.publish()
  await eventually(async () =>
    expect(await engine.deliveries()).toMatchObject([{ state: 'FAILED', failedReason: 'EXHAUSTED' }]),
  )
  // Delivered by hand, it has not failed any more; cancelled, neither.
  receiver.answers(200)
  await engine.redeliverer.retry(engine.admin, (await engine.deliveries())[0]?.id as DeliveryId)
  await eventually(async () =>
    expect(await engine.deliveries()).toMatchObject([{ state: 'DELIVERED', failedReason: null }]),
  )
})

async function insertDelivery(engine: Engine, endpoint: EndpointId, event: EventId, more: object): Promise<DeliveryId> {
  const { sql } = engine.db
  await sql`update postrider.events set routed_at = now() where id = ${event}`
  const id = deliveryIdOf(event, endpoint)
  const row = {
    id,
    tenant_id: engine.tenantId,
    event_id: event,
    endpoint_id: endpoint,
    event_type: 'invoice.paid',
    created_at: new Date().toISOString(),
    ...more,
  }
  await sql`insert into postrider.deliveries ${sql(row)}`
  return id
}
