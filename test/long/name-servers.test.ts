import { expect, test } from 'vitest'
import { createNameServers } from '../../src/egress/name-servers.ts'
import { createResolver } from '../../src/egress/resolver.ts'
import { receiverOf } from '../egress/world.ts'
import { startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { latencies, percentile95 } from '../support/latency.ts'
import { startNameServer } from '../support/name-server.ts'

const HANGING = 120
const EACH = 40
// A name that hangs does so for one and a half of it; long enough to take latencies meanwhile.
const TRY_MS = 1500

test('two name servers that never answer delay nobody else', async () => {
  const [one, two] = await Promise.all([1, 2].map(() => startNameServer(() => ({ silent: true }))))
  const good = await startNameServer((name) =>
    name === 'hooks.test' ? { addresses: ['127.0.0.1'], ttl: 0 } : { silent: true },
  )
  const servers = () => [one, two, good].map((server) => String(server?.address))
  const askNameServers = createNameServers({ servers, tryMs: TRY_MS })
  const allowHosts = new Set(['localhost'])
  const engine = await startEngine({ egress: { resolve: createResolver({ askNameServers, allowHosts }) } })
  const receiver = await receiverOf()
  // A socket for each attempt, and so a look-up, too.
  receiver.answers({ headers: { connection: 'close' } })
  for (const host of ['127.0.0.1', 'localhost', 'hooks.test']) {
    await engine.addEndpoint(`http://${host}:${receiver.port}/hook`, { eventTypes: ['order.placed'] })
  }
  const hanging = { eventTypes: ['report.ready'], timeoutSeconds: 30 }
  await Promise.all(
    Array.from({ length: HANGING }, (_, index) => engine.addEndpoint(`http://hang-${index}.test/hook`, hanging)),
  )
  // Which of them are dead is learnt once.
  await eventually(async () => expect(await askNameServers('hooks.test', 4)).toMatchObject({ kind: 'addresses' }), 6000)
  await latencies(engine, receiver, EACH, 3)
  const alone = percentile95(await latencies(engine, receiver, EACH, 3))

  await engine.publish(1, 'report.ready')
  await eventually(() => expect(hangingAt(good.asked)).toBe(HANGING))
  const beside = percentile95(await latencies(engine, receiver, EACH, 3))
  const before = await engine.attempts()

  expect(before.filter(({ errorClass }) => errorClass !== null)).toEqual([])
  expect(beside, `${beside} ms beside them, ${alone} ms alone`).toBeLessThanOrEqual(3 * alone + 50)
  await eventually(async () => {
    const failed = (await engine.attempts()).filter(({ errorClass }) => errorClass === 'DNS')
    expect(failed).toHaveLength(HANGING)
    expect(Math.max(...failed.map(({ durationMs }) => durationMs))).toBeLessThan(4000)
  }, 8000)
})

const hangingAt = (asked: string[]) =>
  new Set(asked.filter((question) => question.startsWith('hang-') && question.endsWith(' A'))).size
