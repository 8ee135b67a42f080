import { describe, expect, test } from 'vitest'
import { deliveryIdOf, newId, publicId } from '../../schema/ids.ts'
import { testEndpoint } from '../../src/routing/test-delivery.ts'
import { receiverOf } from '../egress/world.ts'
import { eventually } from '../support/eventually.ts'
import { idsOf, replayWorld } from './world.ts'

/** Events that were published, and routed, before this endpoint came to be. */
async function younger(settings: { eventTypes?: string[] } = {}) {
  const world = await replayWorld()
  const { engine } = world
  await world.settled(20)
  await engine.publish(5, 'order.placed')
  await testEndpoint(engine, engine.viewer, world.endpoint, null)
  await eventually(async () => {
    const rows = await engine.db.sql`select from postrider.events where routed_at is null`
    expect(rows).toEqual([])
  })
  const receiver = await receiverOf()
  const endpoint = await engine.addEndpoint(receiver.url, settings)
  const missed = { endpointId: publicId('ep', endpoint), since: new Date(Date.now() - 60_000) }
  return { ...world, young: endpoint, youngReceiver: receiver, missed }
}

describe('a replay of what an endpoint missed', () => {
  test('brings it every event that it wants and never had', async () => {
    const { engine, young, youngReceiver, missed, preview, start, ended, quiet } = await younger()
    expect(await preview({ missed })).toMatchObject({ total: 25, toRedeliver: 25, states: [], skips: [], warnings: [] })
    const id = await start({ missed })
    expect(await ended(id)).toMatchObject({ state: 'COMPLETED', total: 25, redelivered: 25, skipped: 0 })
    const rows = await quiet(young)
    expect(rows).toMatchObject(Array(25).fill({ state: 'DELIVERED', attemptsMade: 1, replayId: null, lane: null }))
    for (const { id, eventId } of rows) expect(id).toBe(deliveryIdOf(eventId, young))
    expect(new Set(idsOf(youngReceiver)).size).toBe(25)
    const attempts = (await engine.attempts()).filter(({ endpointId }) => endpointId === young)
    expect(attempts).toMatchObject(Array(25).fill({ trigger: 'REPLAY', number: 1 }))

    // A second time there is nothing that it has not had.
    expect(await ended(await start({ missed }))).toMatchObject({ state: 'COMPLETED', total: 0, redelivered: 0 })
    expect(youngReceiver.requests).toHaveLength(25)
  })

  test('keeps to the types that it wants and to the time that was asked for', async () => {
    const { young, missed, preview, start, ended, quiet } = await younger({ eventTypes: ['order.*'] })
    const before = { ...missed, until: new Date(missed.since.getTime() + 1) }
    expect(await preview({ missed: before })).toMatchObject({ total: 0, toRedeliver: 0, oldestAt: null })
    expect(await ended(await start({ missed }))).toMatchObject({ total: 5, redelivered: 5 })
    expect((await quiet(young)).map(({ eventType }) => eventType)).toEqual(Array(5).fill('order.placed'))
  })

  test('does not race with routing: what is not routed yet comes from there', async () => {
    const { engine, start, ended, endpoint, receiver } = await replayWorld({ worker: false })
    await engine.publish(10)
    const missed = { endpointId: publicId('ep', endpoint), since: new Date(Date.now() - 60_000) }
    expect(await ended(await start({ missed }))).toMatchObject({ state: 'COMPLETED', total: 0 })
    await replayWorld({ address: engine.address })
    await receiver.waitForRequests(10)
    await eventually(async () => {
      expect(await engine.deliveries(endpoint)).toMatchObject(Array(10).fill({ state: 'DELIVERED', attemptsMade: 1 }))
    })
  })

  test('waits at a paused endpoint, and follows its schedule', async () => {
    const { engine, young, youngReceiver, missed, start, ended } = await younger()
    await engine.change(young, { state: 'PAUSED', retryPolicy: { delaysSeconds: [1] } })
    expect(await ended(await start({ missed }))).toMatchObject({ state: 'COMPLETED', redelivered: 25 })
    expect(await engine.deliveries(young)).toMatchObject(Array(25).fill({ state: 'PENDING', waitingFor: 'REPLAY' }))
    youngReceiver.answers(404, 200)
    await engine.change(young, { state: 'ACTIVE', backlog: true })
    engine.wake.signal('promote')
    await eventually(async () => {
      const rows = await engine.deliveries(young)
      expect(rows.every(({ state }) => state === 'DELIVERED')).toBe(true)
    }, 8000)
    expect(youngReceiver.requests).toHaveLength(26)
  })

  test('goes beside the order of an ordered endpoint', async () => {
    const { engine, young, missed, start, ended, quiet } = await younger()
    await engine.change(young, { ordering: 'PER_ENDPOINT' })
    expect(await ended(await start({ missed }))).toMatchObject({ state: 'COMPLETED', redelivered: 25 })
    expect(await quiet(young)).toMatchObject(Array(25).fill({ state: 'DELIVERED', lane: null, sequence: null }))
    await engine.publish()
    await eventually(async () => {
      const last = (await engine.deliveries(young)).at(-1)
      expect(last).toMatchObject({ state: 'DELIVERED', lane: '', sequence: 1 })
    })
  })

  test('of an endpoint that is not the tenant’s, or none, finds nothing', async () => {
    const { engine, missed, start, preview } = await younger()
    const stranger = newId<'ten'>(new Date())
    const nothing = { code: 'NOT_FOUND', path: ['input', 'select', 'missed', 'endpointId'] }
    await expect(start({ missed }, stranger)).rejects.toMatchObject(nothing)
    await expect(preview({ missed }, stranger)).rejects.toMatchObject(nothing)
    const unknown = { ...missed, endpointId: publicId('ep', newId(new Date())) }
    await expect(start({ missed: unknown })).rejects.toMatchObject(nothing)
    await expect(start({ missed: { ...missed, endpointId: 'x' } })).rejects.toMatchObject({
      ...nothing,
      code: 'INVALID_INPUT',
    })
    await expect(start({ missed: { ...missed, until: missed.since } })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      path: ['input', 'select', 'missed', 'until'],
    })
    expect(await engine.db.sql`select from postrider.replays`).toEqual([])
  })
})

test('a replay of what an endpoint missed asks its channels, versions and filter', async () => {
  const { engine, young, missed, preview, start, ended, quiet } = await younger()
  const inputs = [0, 1, 2, 3].map((n) => ({
    tenantId: engine.tenantId,
    type: 'user.created',
    version: n === 0 ? '1' : '2',
    channels: n === 1 ? [] : ['eu'],
    payload: { n },
  }))
  await engine.publisher.publishBatch(inputs)
  await eventually(async () => {
    expect(await engine.db.sql`select from postrider.events where routed_at is null`).toEqual([])
  })
  await engine.change(young, { state: 'PAUSED', channels: ['eu'], versions: { 'user.created': '2' } })
  // Routed while it wanted everything: as if it had not.
  await engine.db.sql`delete from postrider.deliveries where endpoint_id = ${young}`
  expect(await preview({ missed })).toMatchObject({ toRedeliver: 2, warnings: [{ code: 'ENDPOINT_PAUSED' }] })
  await engine.change(young, { state: 'ACTIVE', filter: 'payload.n != 2' })
  expect(await preview({ missed })).toMatchObject({ toRedeliver: 2, warnings: [{ code: 'FILTERED' }] })
  expect(await ended(await start({ missed }))).toMatchObject({ state: 'COMPLETED', total: 2, redelivered: 1 })
  expect(await quiet(young)).toMatchObject([{ state: 'DELIVERED', eventType: 'user.created' }])
})

/** An endpoint that came to be after some events that nobody wanted. */
async function afterAll(payloads: readonly unknown[], filter: string) {
  const world = await replayWorld()
  const { engine } = world
  await engine.change(world.endpoint, { eventTypes: ['nothing'] })
  await engine.publisher.publishBatch(payloads.map((payload) => ({ tenantId: engine.tenantId, type: 'a', payload })))
  await eventually(async () => {
    expect(await engine.db.sql`select from postrider.events where routed_at is null`).toEqual([])
  })
  const young = await engine.addEndpoint((await receiverOf()).url)
  await engine.change(young, { filter, state: 'PAUSED' })
  return { ...world, missed: { endpointId: publicId('ep', young), since: new Date(Date.now() - 60_000) } }
}

test('a filter that cannot be evaluated for what an endpoint missed is noted as when that is routed', async () => {
  const { engine, missed, start, ended } = await afterAll([{ n: 1 }, {}, { n: 2 }, {}], 'payload.n >= 0')
  expect(await ended(await start({ missed }))).toMatchObject({ state: 'COMPLETED', redelivered: 2 })
  expect(await engine.db.sql`select count::int from postrider.filter_faults`).toEqual([{ count: 2 }])
})

test('a filter that takes long is asked about what an endpoint missed in several steps, and about all of it', async () => {
  const list = Array.from({ length: 40 }, (_, index) => index + 1)
  const filter = 'payload.list.exists(x, payload.list.exists(y, x + 0.0 == -y)) || payload.ok'
  const { missed, start, ended } = await afterAll(Array(40).fill({ list, ok: true }), filter)
  expect(await ended(await start({ missed }))).toMatchObject({ state: 'COMPLETED', redelivered: 40 })
})

test('an event that a replay of what was missed has brought somewhere counts as matched, and no other', async () => {
  const { engine, missed, start, ended } = await afterAll([{ n: 1 }, { n: 0 }, { n: 2 }], 'payload.n > 0')
  const matched = () => engine.db.sql`select matched from postrider.events order by id`
  expect(await matched()).toEqual(Array(3).fill({ matched: false }))
  expect(await ended(await start({ missed }))).toMatchObject({ state: 'COMPLETED', redelivered: 2 })
  expect(await matched()).toEqual([{ matched: true }, { matched: false }, { matched: true }])
})

test('a replay of what was missed does not wait for who holds an event, and may wait for its endpoint', async () => {
  const { engine, missed, start, ended } = await afterAll([1, 2], 'payload > 0')
  const [first] = await engine.db.sql`select id from postrider.events order by id`
  await engine.db.transaction(async (tx) => {
    await tx`select from postrider.events where id = ${first?.id} for no key update`
    expect(await ended(await start({ missed }), 5000)).toMatchObject({ state: 'COMPLETED', redelivered: 2 })
  })
})
