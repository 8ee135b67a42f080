import { expect, onTestFinished, test, vi } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { receiverOf } from '../egress/world.ts'
import { startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

/** An engine with two endpoints: one whose receiver fails, so that settling needs its row, and one that is well. */
async function world() {
  const log = { ...silentLog, warn: vi.fn() }
  const engine = await startEngine({ log })
  const [bad, good] = [await receiverOf(), await receiverOf()]
  bad.answers(500)
  const failing = await engine.addEndpoint(bad.url, { eventTypes: ['bad.*'], retryPolicy: { delaysSeconds: [600] } })
  const well = await engine.addEndpoint(good.url, { eventTypes: ['good.*'] })
  const psql = await engine.db.sql.reserve()
  /** Locks a row as a session does that somebody forgot. */
  const lock = async (table: 'endpoints' | 'deliveries', id: string) => {
    await psql`begin`
    await psql`select from ${psql(`postrider.${table}`)} where id = ${id} for no key update`
  }
  let released = false
  const release = async () => {
    if (released) return
    released = true
    await psql`rollback`
    psql.release()
  }
  onTestFinished(release)
  return { engine, log, bad, good, failing, well, lock, release }
}

const states = async (deliveries: Promise<{ state: string; waitingFor: string | null }[]>) =>
  (await deliveries).map(({ state, waitingFor }) => waitingFor ?? state)

test("who locks the row of one endpoint holds up that endpoint's results and nobody else's", async () => {
  const { engine, log, bad, good, failing, well, lock, release } = await world()
  const arrived = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const
  bad.answers(async (_: unknown, index: number) => {
    await arrived[index < 3 ? 0 : 1].promise
    return 500
  })
  await engine.publish(6, 'bad.one')
  await bad.waitForRequests(6)
  await lock('endpoints', failing)
  // Two batches, one after another: as many as are settled at a time.
  for (const [index, { resolve }] of arrived.entries()) {
    resolve()
    await eventually(async () => {
      const waiting = await engine.db.sql`
        select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
      expect(waiting.length > index || log.warn.mock.calls.length > 0).toBe(true)
    })
  }
  await engine.publish(5, 'good.one')
  await good.waitForRequests(5)
  await eventually(
    async () => expect(await states(engine.deliveries(well))).toEqual(Array(5).fill('DELIVERED')),
    10_000,
  )
  await eventually(() => expect(log.warn).toHaveBeenCalledWith(expect.anything(), expect.stringContaining('locked')))
  // Known by now: nobody waits for that lock any more.
  const before = performance.now()
  await engine.publish(5, 'good.one')
  await eventually(async () => expect(await states(engine.deliveries(well))).toEqual(Array(10).fill('DELIVERED')))
  expect(performance.now() - before).toBeLessThan(2000)
  expect(await engine.attempts()).toHaveLength(10)

  await release()
  await eventually(async () => expect(await states(engine.deliveries(failing))).toEqual(Array(6).fill('RETRY')))
  expect(await engine.attempts()).toHaveLength(16)
  expect(bad.requests).toHaveLength(6)
})

test('who locks the row of one delivery holds up that delivery', async () => {
  const { engine, good, well, lock, release } = await world()
  const arrived = Promise.withResolvers<void>()
  good.answers(async () => {
    await arrived.promise
    return 200
  })
  await engine.publish(5, 'good.one')
  await good.waitForRequests(5)
  const [locked] = await engine.deliveries(well)
  await lock('deliveries', locked?.id as string)
  arrived.resolve()
  await eventually(async () => {
    expect((await states(engine.deliveries(well))).toSorted()).toEqual([...Array(4).fill('DELIVERED'), 'PENDING'])
  }, 10_000)
  await release()
  await eventually(async () => expect(await states(engine.deliveries(well))).toEqual(Array(5).fill('DELIVERED')))
})
