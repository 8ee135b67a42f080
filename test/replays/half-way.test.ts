import { expect, test } from 'vitest'
import {
  cancelReplay,
  failedDeliveries,
  latencyOfNewEvents,
  past,
  reaching,
  receipts,
  startReplay,
  tally,
} from './half-way.ts'

// `npm run test:long` does the same with 50,000.
const COUNT = 1000
const PATIENCE_MS = 120_000

test(
  'cancelled half-way it has sent what it says, and left the rest as it was',
  async () => {
    const { api, db, receiver } = await failedDeliveries(COUNT)
    const { id } = await startReplay(api)
    await past(api, id, COUNT / 2, 40_000)
    await cancelReplay(api, id)
    const { delivered, failed, attempts, recorded } = await tally(db)
    const replay = await reaching(api, id, { state: 'CANCELLED', total: COUNT, skipped: 0 }, 5000)
    expect(replay.redelivered).toBeLessThan(COUNT)
    expect({ delivered, failed, attempts, recorded }).toEqual({
      delivered: replay.redelivered,
      failed: COUNT - replay.redelivered,
      attempts: replay.redelivered,
      recorded: replay.redelivered,
    })
    expect(receipts(receiver)).toEqual({ different: replay.redelivered, all: replay.redelivered })
  },
  PATIENCE_MS,
)

test(
  'killed half-way and started again it goes on, repeats only what was in flight, and misses nothing',
  async () => {
    const { server, api, db, receiver } = await failedDeliveries(COUNT)
    const { id } = await startReplay(api)
    await past(api, id, COUNT / 2, 40_000)
    await server.kill()
    const before = receipts(receiver)
    await server.restart()
    await reaching(api, id, { state: 'COMPLETED', total: COUNT, redelivered: COUNT, skipped: 0 }, 40_000)
    expect(await tally(db)).toEqual({ delivered: COUNT, failed: 0, attempts: COUNT, recorded: COUNT })
    const { different, all } = receipts(receiver)
    expect(before.different).toBeLessThan(COUNT)
    expect(different).toBe(COUNT)
    // Half of the twenty that may be in flight.
    expect(all - COUNT).toBeLessThanOrEqual(10)
  },
  PATIENCE_MS,
)

test(
  'new events meanwhile are as quick as ever',
  async () => {
    const { api, receiver } = await failedDeliveries(COUNT)
    // As long as many a receiver takes: now half of the endpoint's places are in use.
    receiver.answers({ delayMs: 50 })
    await latencyOfNewEvents(api, receiver, 20)
    const alone = await latencyOfNewEvents(api, receiver, 40)
    const { id } = await startReplay(api)
    await past(api, id, 50, 5000)
    const beside = await latencyOfNewEvents(api, receiver, 40)
    await reaching(api, id, { state: 'RUNNING' }, 100)
    expect(beside, `${beside} ms beside a replay, ${alone} ms alone`).toBeLessThanOrEqual(3 * alone + 50)
  },
  PATIENCE_MS,
)
