import { expect, test } from 'vitest'
import type { DeliverTicket } from '../../src/deliveries/admit.ts'
import { hold } from '../../src/deliveries/hold.ts'
import { prepare } from '../../src/deliveries/prepare.ts'
import { type Sent, send } from '../../src/deliveries/send.ts'
import { settle } from '../../src/deliveries/settle.ts'
import { type OutboxTicket, route } from '../../src/routing/route.ts'
import { receiverOf } from '../egress/world.ts'
import { startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { waitingForLocks } from '../support/locks.ts'

/** An engine that is driven by hand, step by step. */
async function world(settings: { maxInFlight?: number; events?: number } = {}) {
  const engine = await startEngine({ worker: false })
  const receiver = await receiverOf()
  const retryPolicy = { delaysSeconds: [60] }
  const endpoint = await engine.addEndpoint(receiver.url, { retryPolicy, maxInFlight: settings.maxInFlight ?? 20 })
  await engine.publish(settings.events ?? 1)
  await route(engine, (await engine.tickets.claim<OutboxTicket>('outbox', 16)).claims)
  const claim = async () => {
    const { claims } = await engine.tickets.claim<DeliverTicket>('deliver', 64)
    return prepare(engine.db.sql, engine.sealer, engine.clock, claims)
  }
  const sendAll = async (): Promise<Sent[]> => Promise.all((await claim()).ready.map((one) => send(engine, one)))
  /** What supervision does when a claim has lapsed. */
  const lapse = () => engine.db.sql`
    update postrider_queue.job set state = 'retry', start_after = now() where name = 'deliver' and state = 'active'`
  return { engine, receiver, endpoint, claim, sendAll, lapse }
}

test('results whose claims were lost are recorded as attempts and change nothing else', async () => {
  const { engine, receiver, sendAll, lapse } = await world({ events: 3 })
  receiver.answers(500)
  const late = await sendAll()
  await lapse()
  receiver.answers(200)
  const current = await sendAll()
  expect([late.length, current.length]).toEqual([3, 3])
  const before = await engine.deliveries()

  await expect(settle(engine, late)).resolves.toEqual({ admitted: 0, nextRetryAt: null, news: [] })
  expect(await engine.deliveries()).toEqual(before)
  expect(await engine.attempts()).toMatchObject(Array(3).fill({ status: 500, number: 1 }))
  expect([await engine.ticketsIn('retry'), await engine.ticketsIn('deliver')]).toEqual([0, 3])

  await settle(engine, current)
  const delivered = Array(3).fill({ state: 'DELIVERED', attemptsMade: 1, ticketId: null })
  expect(await engine.deliveries()).toMatchObject(delivered)
  expect(await engine.attempts()).toHaveLength(6)
  expect(await engine.ticketsIn('deliver')).toBe(0)
})

test('in one batch each result is judged by its own claim', async () => {
  const { engine, receiver, sendAll, lapse } = await world({ events: 2 })
  receiver.answers(500)
  const [first, second] = await sendAll()
  await lapse()
  receiver.answers(200)
  const again = await sendAll()
  const winner = again.find(({ prepared }) => prepared.delivery.id === second?.prepared.delivery.id) as Sent

  await settle(engine, [first as Sent, winner])
  const rows = await engine.deliveries()
  expect(rows.find(({ id }) => id === winner.prepared.delivery.id)).toMatchObject({ state: 'DELIVERED' })
  expect(rows.find(({ id }) => id === first?.prepared.delivery.id)).toMatchObject({ state: 'PENDING', attemptsMade: 0 })
  expect(await engine.attempts()).toHaveLength(2)
})

test.each([
  ['before', false],
  ['behind', true],
])(
  'a late result %s the one of the claim that followed, in one batch, is recorded and changes nothing',
  async (_, behind) => {
    const { engine, receiver, sendAll, lapse } = await world({ events: 3 })
    receiver.answers(500)
    const late = await sendAll()
    await lapse()
    receiver.answers(200)
    const current = await sendAll()

    // As when the database comes back: the same process had both, and could settle neither.
    await settle(engine, behind ? [...current, ...late] : [...late, ...current])
    const delivered = Array(3).fill({ state: 'DELIVERED', attemptsMade: 1, ticketId: null })
    expect(await engine.deliveries()).toMatchObject(delivered)
    expect(await engine.attempts()).toHaveLength(6)
    expect([await engine.ticketsIn('retry'), await engine.ticketsIn('deliver')]).toEqual([0, 0])
  },
)

test('settling once more, because the COMMIT got no answer, changes nothing', async () => {
  const { engine, receiver, sendAll } = await world({ events: 3 })
  receiver.answers(500, 200, 200)
  const results = await sendAll()
  await settle(engine, results)
  const before = [await engine.deliveries(), await engine.attempts(), await engine.ticketsIn('retry')]
  await settle(engine, results)
  expect([await engine.deliveries(), await engine.attempts(), await engine.ticketsIn('retry')]).toEqual(before)
})

test('used up tickets go to what waits, the oldest first, and no further than the allowance', async () => {
  const { engine, endpoint, sendAll } = await world({ events: 10, maxInFlight: 4 })
  const ticketed = async () =>
    (await engine.deliveries()).filter(({ ticketId }) => ticketId !== null).map(({ id }) => id)
  const all = (await engine.deliveries()).map(({ id }) => id)
  expect(await ticketed()).toHaveLength(4)
  const first = await ticketed()
  const waiting = all.filter((id) => !first.includes(id))

  await expect(settle(engine, await sendAll())).resolves.toMatchObject({ admitted: 4 })
  expect(await ticketed()).toEqual(waiting.slice(0, 4))
  await engine.change(endpoint, { maxInFlight: 1 })
  await expect(settle(engine, await sendAll())).resolves.toMatchObject({ admitted: 1 })
  await expect(settle(engine, await sendAll())).resolves.toMatchObject({ admitted: 1 })
  await expect(settle(engine, await sendAll())).resolves.toMatchObject({ admitted: 0 })
  expect(await engine.ticketsIn('deliver')).toBe(0)
})

test('what is held goes on waiting in a backlog, also when that is just being ended', async () => {
  const { engine, endpoint, claim } = await world()
  await engine.change(endpoint, { state: 'PAUSED', backlog: true })
  const batch = await claim()
  expect(batch.held).toHaveLength(1)
  // A promoter that sees the endpoint resumed and nothing waiting: it cannot see what is not committed yet.
  const promoter = await engine.db.sql.reserve()
  await promoter`begin`
  await promoter`update postrider.endpoints set state = 'ACTIVE', backlog = false where id = ${endpoint}`
  let done = false
  const holding = hold(engine, batch).finally(() => {
    done = true
  })
  await eventually(async () => {
    const blocked = await engine.db.sql`
      select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    expect(done || blocked.length > 0).toBe(true)
  })
  await promoter`commit`
  promoter.release()
  await holding
  expect(await engine.deliveries()).toMatchObject([{ ticketId: null, waitingFor: 'ALLOWANCE' }])
  expect(await engine.endpoint(endpoint)).toMatchObject({ backlog: true })
})

test('sessions that die while they settle cost attempts at most, never a delivery', async () => {
  const engine = await startEngine()
  const receiver = await receiverOf()
  receiver.answers({ delayMs: 5 })
  for (let i = 0; i < 3; i++) await engine.addEndpoint(receiver.url, { maxInFlight: 50 })
  const admin = await startEngine({ worker: false, address: engine.address })
  let terminated = 0
  let events = 0
  for (const deadline = performance.now() + 20_000; terminated < 3 && performance.now() < deadline; events += 20) {
    await engine.publish(20)
    // Only those in the middle of settling: a claim whose answer is lost comes back after a minute, too late for a test.
    const ended = await admin.db.sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and application_name like '%test%'
        and xact_start is not null and query ~ 'insert into postrider.attempts|update postrider.deliveries|attempt_bodies'`
    terminated += ended.length
  }
  expect(terminated).toBeGreaterThanOrEqual(3)

  await eventually(async () => {
    const rows = await engine.deliveries()
    expect(rows.filter(({ state }) => state === 'DELIVERED')).toHaveLength(3 * events)
    expect(await engine.ticketsIn('deliver')).toBe(0)
  }, 15_000)
  const attempts = await engine.attempts()
  expect(new Set(attempts.map(({ deliveryId }) => deliveryId)).size).toBe(3 * events)
  expect(attempts).toHaveLength(receiver.requests.length)
})

test('a deadlock while settling is resolved, and everything is settled', async () => {
  const engine = await startEngine()
  const receiver = await receiverOf()
  await engine.addEndpoint(receiver.url, { maxInFlight: 50 })
  const other = await engine.db.sql.reserve()
  await other`begin`
  // Settling locks deliveries first and takes the lock of the positions last; this one goes the other way round.
  await other`select pg_advisory_xact_lock(7768310002)`
  await engine.publish(20)
  await receiver.waitForRequests(20)
  await eventually(async () => expect(await waitingForLocks(engine.db, 'advisory')).toBeGreaterThan(0))
  await other`select from postrider.deliveries for update`.catch(() => {})
  await other`rollback`
  other.release()
  await eventually(async () => {
    expect(await engine.deliveries()).toMatchObject(Array(20).fill({ state: 'DELIVERED' }))
  }, 10_000)
  expect(await engine.attempts()).toHaveLength(20)
})
