import { expect, test } from 'vitest'
import {
  cancelReplay,
  expectCancelled,
  expectWhole,
  failedDeliveries,
  latencyOfNewEvents,
  past,
  type Replay,
  reaching,
  startReplay,
} from './half-way.ts'

const COUNT = 50_000
const PATIENCE_MS = 1_200_000

/** How fast it was, for those who read along. */
function tell(what: string, { redelivered }: Replay, startedAt: number) {
  const seconds = (performance.now() - startedAt) / 1000
  console.log(`${what}: ${redelivered} in ${seconds.toFixed(0)} s, ${(redelivered / seconds).toFixed(0)} per second`)
}

const LONG_MS = 1_800_000

test(
  '50,000, cancelled half-way: counts agree with what came, and new events are as quick as ever',
  async () => {
    const world = await failedDeliveries(COUNT)
    const { api, receiver } = world
    await latencyOfNewEvents(api, receiver, 20)
    const alone = await latencyOfNewEvents(api, receiver, 100)
    const startedAt = performance.now()
    const { id } = await startReplay(api)
    await past(api, id, 1000, PATIENCE_MS)
    const beside = await latencyOfNewEvents(api, receiver, 100)
    tell('half', await past(api, id, COUNT / 2, PATIENCE_MS), startedAt)
    await cancelReplay(api, id)
    console.log(`new events: p95 ${alone} ms alone, ${beside} ms beside the replay`)
    await expectCancelled(world, id, COUNT)
    expect(beside, `${beside} ms beside a replay, ${alone} ms alone`).toBeLessThanOrEqual(3 * alone + 50)
  },
  LONG_MS,
)

test(
  '50,000, killed half-way: it goes on where it was',
  async () => {
    const world = await failedDeliveries(COUNT)
    const { server, api } = world
    const startedAt = performance.now()
    const { id } = await startReplay(api)
    await past(api, id, COUNT / 2, PATIENCE_MS)
    await server.kill()
    await server.restart()
    const whole = { state: 'COMPLETED', total: COUNT, redelivered: COUNT, skipped: 0 }
    tell('all', await reaching(api, id, whole, PATIENCE_MS), startedAt)
    console.log(`${await expectWhole(world, COUNT)} of ${COUNT} came twice`)
  },
  LONG_MS,
)
