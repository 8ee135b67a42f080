import { expect, test } from 'vitest'
import {
  cancelReplay,
  expectCancelled,
  expectWhole,
  failedDeliveries,
  latencyOfNewEvents,
  past,
  reaching,
  receipts,
  startReplay,
} from './half-way.ts'

// `npm run test:long` does the same with 50,000.
const COUNT = 1000
// So many that the replay is not over while latencies are taken, at 250 a second at the most.
const MANY = 5000
const PATIENCE_MS = 120_000

test(
  'new events are as quick as ever beside it; cancelled it has sent what it says, and left the rest as it was',
  async () => {
    const world = await failedDeliveries(MANY)
    const { api, receiver } = world
    // As long as many a receiver takes: now half of the endpoint's places are in use.
    receiver.answers({ delayMs: 50 })
    await latencyOfNewEvents(api, receiver, 10)
    const alone = await latencyOfNewEvents(api, receiver, 25)
    const { id } = await startReplay(api)
    await past(api, id, 50, 10_000)
    const beside = await latencyOfNewEvents(api, receiver, 25)
    await cancelReplay(api, id)

    const { redelivered } = await expectCancelled(world, id, MANY)
    // It was under way to the end of what was measured.
    expect(redelivered).toBeLessThan(MANY)
    expect(beside, `${beside} ms beside a replay, ${alone} ms alone`).toBeLessThanOrEqual(3 * alone + 50)
  },
  PATIENCE_MS,
)

test(
  'killed half-way and started again it goes on, repeats only what was in flight, and misses nothing',
  async () => {
    const world = await failedDeliveries(COUNT)
    const { server, api, receiver } = world
    const { id } = await startReplay(api)
    await past(api, id, COUNT / 5, 40_000)
    await server.kill()
    const before = receipts(receiver)
    await server.restart()
    await reaching(api, id, { state: 'COMPLETED', total: COUNT, redelivered: COUNT, skipped: 0 }, 40_000)
    expect(before.different).toBeLessThan(COUNT)
    await expectWhole(world, COUNT)
  },
  PATIENCE_MS,
)
