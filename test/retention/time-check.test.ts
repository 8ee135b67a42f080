import { expect, test } from 'vitest'
import { deliveryIdOf, type EventId } from '../../schema/ids.ts'
import { type Log, silentLog } from '../../src/log.ts'
import { createTimeCheck } from '../../src/retention/time-check.ts'
import { DAY_MS, retentionWorld } from './world.ts'

const MINUTE_MS = 60_000

/** A check whose clocks go on by hand; `step` moves only the one that tells the time. */
function check() {
  const told: object[] = []
  const log: Log = { ...silentLog, error: (facts) => told.push(facts) }
  let monotonic = 0
  let time = Date.now()
  const may = createTimeCheck(log, () => monotonic)
  return {
    told,
    may: (days: number) => may(new Date(time), days),
    pass(ms: number) {
      monotonic += ms
      time += ms
    },
    step(ms: number) {
      time += ms
    },
  }
}

test('a day or two may go at once, and so may none', () => {
  const { may, told } = check()
  expect([may(0), may(1), may(2)]).toEqual([true, true, true])
  expect(told).toEqual([])
})

test('more may go when the time has gone on evenly for an hour, and this is told of once', () => {
  const { may, pass, step, told } = check()
  const asked: boolean[] = []
  for (let minute = 0; minute <= 75; minute += 15) {
    asked.push(may(30))
    pass(15 * MINUTE_MS)
    // Clocks are set right by a little all the time.
    step(2000)
  }
  expect(asked).toEqual([false, false, false, false, true, true])
  expect(told).toMatchObject([{ days: 30 }])
})

test('a clock that steps once more is doubted anew, and one that was set right is not', () => {
  const { may, pass, step, told } = check()
  expect(may(30)).toBe(false)
  pass(50 * MINUTE_MS)
  step(DAY_MS)
  expect(may(31)).toBe(false)
  pass(50 * MINUTE_MS)
  expect(may(31)).toBe(false)
  step(-31 * DAY_MS)
  expect(may(0)).toBe(true)
  step(31 * DAY_MS)
  expect(may(31)).toBe(false)
  expect(told).toHaveLength(3)
})

test('a clock that is a year ahead for a moment ends and drops nothing', async () => {
  const world = await retentionWorld({ timeCheck: createTimeCheck(silentLog) })
  const endpoint = await world.addEndpoint('http://127.0.0.1:9/')
  const [event] = await world.publish()
  const id = event as EventId
  await world.db.sql`update postrider.events set routed_at = now()`
  await world.db.sql`
    insert into postrider.deliveries (id, tenant_id, event_id, endpoint_id, event_type, waiting_for, created_at)
    values (${deliveryIdOf(id, endpoint)}, ${world.tenantId}, ${id}, ${endpoint}, 'invoice.paid', 'ALLOWANCE', now())`
  const days = await world.daysOf('events')
  world.clock.forward(365 * DAY_MS)
  await world.retain()
  world.clock.forward(-365 * DAY_MS)
  await world.retain()
  expect(await world.deliveries()).toMatchObject([{ state: 'PENDING' }])
  expect(await world.count('event_payloads')).toBe(1)
  expect(await world.daysOf('events')).toEqual(days)
})

test('day after day one goes, without a question', async () => {
  const world = await retentionWorld({ timeCheck: createTimeCheck(silentLog) })
  await world.pass(30)
  for (let day = 0; day < 4; day++) {
    await world.pass(1)
    await world.retain()
  }
  const oldest = new Date(world.clock.now().getTime() - 30 * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '')
  for (const table of ['events', 'event_payloads', 'deliveries']) expect((await world.daysOf(table))[0]).toBe(oldest)
})
