import { expect, test } from 'vitest'
import { receiverOf } from '../egress/world.ts'
import { startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { latencies, percentile95 } from '../support/latency.ts'

const HANGING = 20
const EACH = 40

test('twenty endpoints that never answer cost the one that does next to nothing', async () => {
  const engine = await startEngine()
  const [healthy, hanging] = [await receiverOf(), await receiverOf()]
  hanging.answers({ hang: true })
  await engine.addEndpoint(healthy.url, { eventTypes: ['order.placed'] })
  const slow = { eventTypes: ['report.ready'], timeoutSeconds: 30 }
  await Promise.all(Array.from({ length: HANGING }, () => engine.addEndpoint(hanging.url, slow)))
  await latencies(engine, healthy, EACH)
  const alone = percentile95(await latencies(engine, healthy, EACH))

  await engine.publish(EACH, 'report.ready')
  const amidTheRush = percentile95(await latencies(engine, healthy, EACH))
  await eventually(async () => expect(await engine.deliveries()).toHaveLength(HANGING * EACH + 3 * EACH))
  // Every one of them has as much in flight as it may have.
  await hanging.waitForRequests(HANGING * 20)
  const beside = percentile95(await latencies(engine, healthy, EACH))

  expect(hanging.requests).toHaveLength(HANGING * 20)
  expect(beside, `${beside} ms beside them, ${alone} ms alone`).toBeLessThanOrEqual(3 * alone + 50)
  expect(amidTheRush, `${amidTheRush} ms as they begin to hang, ${alone} ms alone`).toBeLessThanOrEqual(3 * alone + 150)
})
