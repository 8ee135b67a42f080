import { describe, expect, onTestFinished, test } from 'vitest'
import { type Allowance, admit, priorityOf, roomOf, shareRoom } from '../../src/deliveries/admission.ts'
import { joinBacklogs, lockAllowances } from '../../src/deliveries/admit.ts'
import { promote } from '../../src/deliveries/promoter.ts'
import { deleteEndpoint } from '../../src/endpoints/save.ts'
import { createLog } from '../../src/log.ts'
import type { Tx } from '../../src/postgres/client.ts'
import { type OutboxTicket, route } from '../../src/routing/route.ts'
import { receiverOf } from '../egress/world.ts'
import { type Engine, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import type { Receiver } from '../support/receiver.ts'

const allowance = (more: Partial<Allowance>): Allowance => ({
  state: 'ACTIVE',
  deleted: false,
  maxInFlight: 5,
  ticketed: 0,
  backlog: false,
  ratePerSecond: null,
  nextSlotAt: null,
  ...more,
})

describe('the decision', () => {
  test.each`
    endpoint                 | arriving | admitted | backlog
    ${{}}                    | ${0}     | ${0}     | ${false}
    ${{}}                    | ${5}     | ${5}     | ${false}
    ${{}}                    | ${6}     | ${5}     | ${true}
    ${{ ticketed: 4 }}       | ${1}     | ${1}     | ${false}
    ${{ ticketed: 4 }}       | ${2}     | ${1}     | ${true}
    ${{ ticketed: 5 }}       | ${1}     | ${0}     | ${true}
    ${{ ticketed: 9 }}       | ${1}     | ${0}     | ${true}
    ${{ backlog: true }}     | ${1}     | ${0}     | ${true}
    ${{ backlog: true }}     | ${0}     | ${0}     | ${true}
    ${{ state: 'PAUSED' }}   | ${1}     | ${0}     | ${true}
    ${{ state: 'DISABLED' }} | ${1}     | ${0}     | ${true}
    ${{ state: 'PAUSED' }}   | ${0}     | ${0}     | ${false}
    ${{ deleted: true }}     | ${1}     | ${0}     | ${true}
  `('$arriving at $endpoint → $admitted admitted, backlog $backlog', ({ endpoint, arriving, admitted, backlog }) => {
    expect(admit(allowance(endpoint), arriving, new Date())).toEqual({ admitted, backlog, slots: null })
  })

  test.each`
    endpoint                 | room
    ${{}}                    | ${5}
    ${{ ticketed: 3 }}       | ${2}
    ${{ ticketed: 9 }}       | ${0}
    ${{ backlog: true }}     | ${5}
    ${{ state: 'PAUSED' }}   | ${0}
    ${{ state: 'DISABLED' }} | ${0}
    ${{ deleted: true }}     | ${0}
  `('$endpoint has room for $room more', ({ endpoint, room }) => {
    expect(roomOf(allowance(endpoint))).toBe(room)
  })

  test.each`
    room | requested | first | again | chance | shares
    ${8} | ${0}      | ${20} | ${20} | ${0}   | ${[0, 6, 2]}
    ${8} | ${0}      | ${3}  | ${20} | ${0}   | ${[0, 3, 5]}
    ${8} | ${0}      | ${20} | ${1}  | ${0}   | ${[0, 7, 1]}
    ${8} | ${3}      | ${20} | ${20} | ${0}   | ${[3, 4, 1]}
    ${8} | ${9}      | ${20} | ${20} | ${0.9} | ${[6, 1, 1]}
    ${8} | ${9}      | ${0}  | ${0}  | ${0.9} | ${[8, 0, 0]}
    ${1} | ${0}      | ${20} | ${20} | ${0.7} | ${[0, 1, 0]}
    ${1} | ${0}      | ${20} | ${20} | ${0.8} | ${[0, 0, 1]}
    ${1} | ${0}      | ${0}  | ${20} | ${0}   | ${[0, 0, 1]}
    ${0} | ${5}      | ${5}  | ${5}  | ${0.9} | ${[0, 0, 0]}
    ${9} | ${1}      | ${1}  | ${1}  | ${0}   | ${[1, 1, 1]}
  `('$room places for $requested by hand, $first first, $again again: $shares', (row) => {
    const share = shareRoom(row.room, row.requested, row.first, row.again, 0, row.chance)
    expect([share.requested, share.first, share.again, share.replayed]).toEqual([...row.shares, 0])
  })

  test.each`
    room | first | again | replayed | chance | shares
    ${8} | ${20} | ${20} | ${20}    | ${0}   | ${[6, 2, 0]}
    ${8} | ${20} | ${20} | ${20}    | ${0.5} | ${[6, 1, 1]}
    ${8} | ${20} | ${0}  | ${20}    | ${0}   | ${[6, 0, 2]}
    ${8} | ${0}  | ${20} | ${20}    | ${0}   | ${[0, 6, 2]}
    ${8} | ${1}  | ${1}  | ${20}    | ${0}   | ${[1, 1, 6]}
    ${8} | ${0}  | ${0}  | ${20}    | ${0}   | ${[0, 0, 8]}
    ${1} | ${20} | ${20} | ${20}    | ${0.7} | ${[1, 0, 0]}
    ${1} | ${0}  | ${0}  | ${20}    | ${0}   | ${[0, 0, 1]}
  `('$room places for $first first, $again again, $replayed replayed: $shares', (row) => {
    const share = shareRoom(row.room, 0, row.first, row.again, row.replayed, row.chance)
    expect([share.first, share.again, share.replayed]).toEqual(row.shares)
  })

  test("an endpoint's first two go before everybody's later ones, and first attempts before retries", () => {
    const order = [priorityOf(0, true), priorityOf(0, false), priorityOf(2, true), priorityOf(2, false)]
    expect(order).toEqual([...order].sort((a, b) => b - a))
    expect(new Set(order).size).toBe(4)
    expect(priorityOf(1, true)).toBe(priorityOf(0, true))
    expect(priorityOf(500, false)).toBe(priorityOf(2, false))
  })
})

/** How many requests are at the receiver at one time, at most. Each stays for up to 15 ms. */
function countConcurrency(receiver: Receiver) {
  let present = 0
  const seen = { most: 0 }
  receiver.answers(async () => {
    seen.most = Math.max(seen.most, ++present)
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 15))
    present--
    return 200
  })
  return seen
}

const settled = (engine: Engine, count: number) =>
  eventually(async () => {
    const rows = await engine.deliveries()
    expect(rows.filter(({ state }) => state === 'DELIVERED')).toHaveLength(count)
  }, 15_000)

test('an endpoint that hangs holds as many tickets as it may have in flight; the rest waits as rows', async () => {
  const engine = await startEngine()
  const receiver = await receiverOf()
  receiver.answers({ hang: true })
  const endpoint = await engine.addEndpoint(receiver.url, { maxInFlight: 5, timeoutSeconds: 30 })
  await engine.publish(60)
  await engine.publish(40)

  await receiver.waitForRequests(5)
  await eventually(async () => {
    const rows = await engine.deliveries(endpoint)
    expect(rows).toHaveLength(100)
    expect(rows.filter(({ ticketId, waitingFor }) => ticketId !== null && waitingFor === null)).toHaveLength(5)
    expect(rows.filter(({ ticketId, waitingFor }) => ticketId === null && waitingFor === 'ALLOWANCE')).toHaveLength(95)
  })
  expect(await engine.endpoint(endpoint)).toMatchObject({ backlog: true })
  expect(await engine.ticketsIn('deliver')).toBe(5)
  expect(receiver.requests).toHaveLength(5)
})

test('two processes together never have more in flight than the endpoint allows, and deliver everything', async () => {
  const engine = await startEngine()
  const other = await startEngine({ address: engine.address })
  const receiver = await receiverOf()
  const seen = countConcurrency(receiver)
  const endpoint = await engine.addEndpoint(receiver.url, { maxInFlight: 7 })

  await Promise.all(Array.from({ length: 30 }, (_, i) => (i % 2 ? engine : other).publish(10)))
  await settled(engine, 300)

  expect(seen.most).toBeGreaterThan(1)
  expect(seen.most).toBeLessThanOrEqual(7)
  expect(receiver.requests).toHaveLength(300)
  await eventually(async () => expect(await engine.endpoint(endpoint)).toMatchObject({ backlog: false }))

  await engine.change(endpoint, { maxInFlight: 2 })
  seen.most = 0
  await engine.publish(20)
  await settled(engine, 320)
  expect(seen.most).toBeLessThanOrEqual(2)
})

describe('what joins a backlog', () => {
  const world = async () => {
    const engine = await startEngine({ worker: false })
    const endpoint = await engine.addEndpoint('http://127.0.0.1:9/hook', { maxInFlight: 1 })
    await engine.change(endpoint, { backlog: true })
    const isInBacklog = async () => {
      const [row] = await engine.db.sql<[{ backlog: boolean }]>`select backlog from postrider.endpoints`
      return row.backlog
    }
    /** Does something in a transaction that stays open until it is told to end. */
    const hold = async (work: (tx: Tx) => Promise<unknown>) => {
      const [done, mayCommit] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const ended = engine.db.transaction(async (tx) => {
        await work(tx)
        done.resolve()
        await mayCommit.promise
      })
      await done.promise
      return () => {
        mayCommit.resolve()
        return ended
      }
    }
    return { engine, endpoint, isInBacklog, hold }
  }

  test('does not wait for those who admit and settle', async () => {
    const { engine, endpoint, hold } = await world()
    await engine.publish()
    const commit = await hold((tx) => lockAllowances(tx, [endpoint], engine.clock.now()))
    await route(engine, (await engine.tickets.claim<OutboxTicket>('outbox', 16)).claims)
    expect(await engine.deliveries(endpoint)).toMatchObject([{ waitingFor: 'ALLOWANCE' }])
    await commit()
  })

  test('keeps the backlog from ending until it is there', async () => {
    const { engine, endpoint, isInBacklog, hold } = await world()
    const commit = await hold((tx) => joinBacklogs(tx, [endpoint]))
    await promote({ ...engine, log: createLog('error') })
    expect(await isInBacklog()).toBe(true)
    await commit()
    await promote({ ...engine, log: createLog('error') })
    expect(await isInBacklog()).toBe(false)
  })

  test('keeps the endpoint from being deleted until it is there', async () => {
    const { engine, endpoint, hold } = await world()
    const commit = await hold((tx) => joinBacklogs(tx, [endpoint]))
    const deleting = deleteEndpoint(engine, engine.viewer, endpoint)
    await eventually(async () => {
      const blocked = await engine.db.sql`
        select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
      expect(blocked).toHaveLength(1)
    })
    await commit()
    await deleting
  })
})

test('two who admit at once for one endpoint count one after the other', async () => {
  const engine = await startEngine({ worker: false })
  const endpoint = await engine.addEndpoint('http://127.0.0.1:9/hook', { maxInFlight: 1 })
  const routeAll = async () => route(engine, (await engine.tickets.claim<OutboxTicket>('outbox', 16)).claims)
  await engine.change(endpoint, { state: 'PAUSED' })
  await engine.publish()
  await routeAll()
  await engine.change(endpoint, { state: 'ACTIVE', backlog: false })
  await engine.publish()

  const admitted = Promise.withResolvers<void>()
  const mayCommit = Promise.withResolvers<void>()
  const admitting = engine.db.transaction(async (tx) => {
    await lockAllowances(tx, [endpoint], engine.clock.now())
    await tx`update postrider.deliveries set ticket_id = gen_random_uuid(), waiting_for = null`
    admitted.resolve()
    await mayCommit.promise
  })
  await admitted.promise
  let done = false
  const routing = routeAll().finally(() => {
    done = true
  })
  await eventually(async () => {
    const blocked = await engine.db.sql`
      select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    expect(done || blocked.length > 0).toBe(true)
  })
  mayCommit.resolve()
  await Promise.all([admitting, routing])

  const ticketed = (await engine.deliveries(endpoint)).map(({ ticketId }) => ticketId !== null)
  expect(ticketed).toEqual([true, false])
})

test('after any mixture of failures, pauses, retries and cancellations no delivery and no ticket is left over', async () => {
  const seed = Math.floor(Math.random() * 2 ** 32)
  onTestFinished(({ task }) => {
    if (task.result?.state === 'fail') console.error(`seed ${seed}`)
  })
  const random = mulberry32(seed)
  const upTo = (most: number) => Math.floor(random() * most)
  const engine = await startEngine({ concurrency: 16 })
  const other = await startEngine({ address: engine.address, concurrency: 16 })
  const receiver = await receiverOf()
  receiver.answers(async () => {
    await new Promise((resolve) => setTimeout(resolve, upTo(20)))
    return upTo(4) === 0 ? 500 : 200
  })
  const endpoints = await Promise.all(
    Array.from({ length: 4 }, () =>
      engine.addEndpoint(receiver.url, {
        maxInFlight: 1 + upTo(6),
        retryPolicy: { delaysSeconds: upTo(2) ? [1] : [] },
      }),
    ),
  )
  const pick = <T>(from: readonly T[]) => from[upTo(from.length)] as T

  for (let step = 0; step < 60; step++) {
    const endpoint = pick(endpoints)
    const rows = await engine.deliveries(endpoint)
    const delivery = rows.length > 0 ? pick(rows).id : null
    const acts = [
      () => pick([engine, other]).publish(1 + upTo(8)),
      () => engine.change(endpoint, { state: 'PAUSED' }),
      () => engine.change(endpoint, { state: 'ACTIVE', backlog: true }),
      () => engine.change(endpoint, { maxInFlight: 1 + upTo(6) }),
      () => delivery && engine.redeliverer.retry(engine.viewer, delivery).catch(mistakesOnly),
      () => delivery && other.redeliverer.cancel(engine.viewer, delivery).catch(mistakesOnly),
    ]
    await pick(acts)()
  }
  for (const endpoint of endpoints) await engine.change(endpoint, { state: 'ACTIVE', backlog: true })
  engine.wake.signal('promote')

  await eventually(async () => {
    const rows = await engine.deliveries()
    expect(rows.filter(({ state }) => state === 'PENDING')).toEqual([])
    expect(rows.filter(({ ticketId, waitingFor }) => ticketId !== null || waitingFor !== null)).toEqual([])
    expect(await engine.ticketsIn('deliver')).toBe(0)
    for (const endpoint of endpoints) expect(await engine.endpoint(endpoint)).toMatchObject({ backlog: false })
  }, 15_000)
  const attempts = Map.groupBy(await engine.attempts(), ({ deliveryId }) => deliveryId)
  for (const { id, state, attemptsMade } of await engine.deliveries()) {
    const made = attempts.get(id) ?? []
    // One in flight while its delivery is cancelled is recorded, and not counted by it.
    expect(made.length).toBeGreaterThanOrEqual(attemptsMade)
    if (state !== 'CANCELLED') expect(made.some(({ succeeded }) => succeeded)).toBe(state === 'DELIVERED')
  }
})

const mistakesOnly = (error: Error) => expect(error.name).toBe('Mistake')

/** A small seeded generator, so that a failure can be had again. */
function mulberry32(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
