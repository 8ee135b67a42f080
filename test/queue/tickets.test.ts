import { expect, test } from 'vitest'
import { newId } from '../../schema/ids.ts'
import { startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

async function world() {
  const engine = await startEngine({ worker: false })
  const { tickets, db } = engine
  const add = async (...more: { priority?: number; startAfter?: Date }[]) => {
    const made = more.map((one, nth) => ({ id: newId(new Date()), data: { nth }, ...one }))
    await tickets.enqueue(db.sql, 'deliver', made)
    return made.map(({ id }) => id)
  }
  const claim = async (most: number, options = {}) =>
    (await tickets.claim<{ nth: number }>('deliver', most, options)).claims
  /** What supervision does when a claim has lapsed. */
  const lapse = () => db.sql`
    update postrider_queue.job set state = 'retry', start_after = now() where name = 'deliver' and state = 'active'`
  return { ...engine, add, claim, lapse }
}

test('tickets are claimed once, highest priority first, then oldest first', async () => {
  const { add, claim } = await world()
  await add({ priority: 0 }, { priority: 3 }, { priority: 1 }, { priority: 3 })
  const order: number[] = []
  for (let i = 0; i < 4; i++) order.push(...(await claim(1)).map(({ data }) => data.nth))
  expect(order).toEqual([1, 3, 2, 0])
  expect(await claim(16)).toEqual([])
})

test('a claim may be limited to a priority, and says whether there may be more', async () => {
  const { add, tickets } = await world()
  await add(
    { priority: 1 },
    { priority: 2 },
    { priority: 3 },
    { priority: 3, startAfter: new Date(Date.now() + 3_600_000) },
  )
  const first = await tickets.claim<{ nth: number }>('deliver', 16, { leastPriority: 2 })
  expect(first).toMatchObject({ claims: [{}, {}], more: false })
  expect(first.claims.map(({ data }) => data.nth).sort()).toEqual([1, 2])
  await expect(tickets.claim('deliver', 1)).resolves.toMatchObject({ claims: [{ data: { nth: 0 } }], more: true })
  // The one for later is not there yet.
  await expect(tickets.claim('deliver', 1)).resolves.toEqual({ claims: [], more: false })
})

test('a claim that lapsed cannot be finished once somebody else has the ticket', async () => {
  const { add, claim, lapse, tickets, db, ticketsIn } = await world()
  const [id] = await add({})
  const late = await claim(1)
  await lapse()
  expect(await tickets.finish(db.sql, 'deliver', late)).toEqual(new Set())
  const current = await claim(1)
  expect(current.map((claimed) => claimed.id)).toEqual([id])
  expect(await tickets.finish(db.sql, 'deliver', late)).toEqual(new Set())
  expect(await ticketsIn('deliver')).toBe(1)
  expect(await tickets.finish(db.sql, 'deliver', current)).toEqual(new Set([id]))
  expect(await tickets.finish(db.sql, 'deliver', current)).toEqual(new Set())
  expect(await ticketsIn('deliver')).toBe(0)
})

test('what was released can be claimed again a second later, and whether it is claimed can be asked', async () => {
  const { add, claim, tickets, db } = await world()
  const [id] = await add({})
  expect(await tickets.isClaimed(db.sql, 'deliver', id as string)).toBe(false)
  await tickets.release('deliver', await claim(1))
  expect(await tickets.isClaimed(db.sql, 'deliver', id as string)).toBe(false)
  await eventually(async () => expect(await claim(1)).toMatchObject([{ id }]))
  expect(await tickets.isClaimed(db.sql, 'deliver', id as string)).toBe(true)
})

test('a process that is alone gives back all claims of the dead', async () => {
  const { add, claim, tickets } = await world()
  await add({}, {}, {})
  expect(await claim(4)).toHaveLength(3)
  expect(await tickets.releaseAll()).toBe(3)
  await eventually(async () => expect(await claim(4)).toHaveLength(3))
})

test('a transaction that fails leaves no tickets, and as many as the pool has connections may add their first ones', async () => {
  const { tickets, db, ticketsIn } = await world()
  const ticket = () => [{ id: newId(new Date()), data: {} }]
  await Promise.all(
    Array.from({ length: 30 }, () =>
      db.transaction(async (tx) => {
        await tx`select pg_sleep(0.02)`
        await tickets.enqueue(tx, 'deliver', ticket())
      }),
    ),
  )
  const failing = db.transaction(async (tx) => {
    await tickets.enqueue(tx, 'deliver', ticket())
    throw new Error('on purpose')
  })
  await expect(failing).rejects.toThrow('on purpose')
  expect(await ticketsIn('deliver')).toBe(30)
})
