import { expect, test } from 'vitest'
import { sweepDeliveries } from '../../src/deliveries/sweep.ts'
import { sweepEvents } from '../../src/routing/sweep.ts'
import { receiverOf } from '../egress/world.ts'
import { movableClock, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

const NOTHING = { ticketless: 0, endpoints: 0, lanes: 0 }

test('an event that lost its ticket is routed; one that has it, or was just accepted, is left alone', async () => {
  const clock = movableClock()
  const engine = await startEngine({ clock, worker: false })
  await engine.db.sql`update postrider.installation set created_at = ${clock.now().toISOString()}`
  await engine.addEndpoint('http://127.0.0.1:9/hook')
  await engine.publish(2)
  await engine.db.sql`delete from postrider_queue.job where name = 'outbox'`
  await engine.publish(1)
  expect(await sweepEvents(engine)).toBe(0)
  clock.forward(11 * 60_000)
  expect(await sweepEvents(engine)).toBe(2)
  expect(await engine.ticketsIn('outbox')).toBe(2)
  expect(await sweepEvents(engine)).toBe(0)
})

test('what was swept is looked at again for an hour, and not for ever', async () => {
  const clock = movableClock()
  const engine = await startEngine({ clock, worker: false })
  const sweptUntil = async () => {
    const [row] = await engine.db.sql<[{ until: string }]>`select routed_until as until from postrider.installation`
    return clock.now().getTime() - new Date(row.until).getTime()
  }
  await engine.db.sql`update postrider.installation set created_at = ${clock.now().toISOString()}`
  clock.forward(3 * 86_400_000)
  await sweepEvents(engine)
  expect(Math.round((await sweptUntil()) / 86_400_000)).toBe(2)
  for (let n = 0; n < 4; n++) await sweepEvents(engine)
  expect(Math.round((await sweptUntil()) / 60_000)).toBe(70)
})

test('a clock that was ahead for a moment does not keep the sweeper from what is lost afterwards', async () => {
  const clock = movableClock()
  const engine = await startEngine({ clock, worker: false })
  clock.forward(5 * 86_400_000)
  for (let n = 0; n < 6; n++) await sweepEvents(engine)
  clock.forward(-5 * 86_400_000)
  await engine.publish(2)
  await engine.db.sql`delete from postrider_queue.job where name = 'outbox'`
  clock.forward(11 * 60_000)
  expect(await sweepEvents(engine)).toBe(2)
})

test('a delivery without its ticket, and one that waits unnoticed, go after all', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine({ worker: false })
  const [one, other] = [await engine.addEndpoint(receiver.url), await engine.addEndpoint(receiver.url)]
  await engine.publish(3)
  const worker = await startEngine({ address: engine.address })
  await worker.stop()
  await engine.db.sql`delete from postrider_queue.job`
  await engine.db.sql`
    update postrider.deliveries set state = 'PENDING', settled_at = null,
      ticket_id = case endpoint_id when ${one} then gen_random_uuid() end, waiting_for = case endpoint_id when ${other} then 'ALLOWANCE' end`
  await engine.db.sql`update postrider.endpoints set backlog = false`
  const before = receiver.requests.length

  expect(await sweepDeliveries(engine)).toEqual({ ...NOTHING, ticketless: 3, endpoints: 1 })
  await startEngine({ address: engine.address })
  await receiver.waitForRequests(before + 6)
  await eventually(async () => expect(await sweepDeliveries(engine)).toEqual(NOTHING))
})

test('a lane that lost its head, or whose head is over, goes on', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  const id = await engine.addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: [600] } })
  await engine.change(id, { ordering: 'PER_KEY' })
  receiver.answers(500, 500, 200)
  const publish = (orderingKey: string) =>
    engine.publisher.publish({ tenantId: engine.tenantId, type: 'invoice.paid', orderingKey, payload: {} })
  for (const key of ['a', 'a', 'b', 'b']) await publish(key)
  await receiver.waitForRequests(2)
  await eventually(async () => {
    const rows = await engine.deliveries(id)
    expect(rows.map(({ waitingFor }) => waitingFor).toSorted()).toEqual(['ORDER', 'ORDER', 'RETRY', 'RETRY'])
  })
  await engine.db.sql`
    update postrider.deliveries set state = 'CANCELLED', waiting_for = null, next_attempt_at = null, settled_at = now() where waiting_for = 'RETRY'`
  await engine.db.sql`update postrider.lanes set head = null where lane = 'a'`

  expect(await sweepDeliveries(engine)).toEqual({ ...NOTHING, lanes: 2 })
  await receiver.waitForRequests(4)
  await eventually(async () => expect(await sweepDeliveries(engine)).toEqual(NOTHING))
})

test('thousands are set on their way in one sweep', async () => {
  const clock = movableClock()
  const engine = await startEngine({ clock, worker: false })
  await engine.db.sql`update postrider.installation set created_at = ${clock.now().toISOString()}`
  const endpoint = await engine.addEndpoint('http://127.0.0.1:9/hook')
  for (let n = 0; n < 5; n++) await engine.publish(500)
  await engine.db.sql`
    insert into postrider.deliveries (id, tenant_id, event_id, endpoint_id, event_type, ticket_id, created_at)
    select id, tenant_id, id, ${endpoint}, type, gen_random_uuid(), now() from postrider.events`
  await engine.db.sql`delete from postrider_queue.job where name = 'outbox'`
  clock.forward(11 * 60_000)
  expect(await sweepEvents(engine)).toBe(2500)
  expect(await sweepEvents(engine)).toBe(0)
  expect(await sweepDeliveries(engine)).toEqual({ ...NOTHING, ticketless: 2500 })
})
