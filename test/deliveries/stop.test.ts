import { expect, test } from 'vitest'
import { startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { startReceiver } from '../support/receiver.ts'

test('what a stop runs out of time for is no failure: the next process makes that attempt', async () => {
  const receiver = await startReceiver()
  receiver.answers({ hang: true }, 200)
  const first = await startEngine({ stopWithinMs: 100 })
  await first.addEndpoint(receiver.url)
  await first.publish()
  await receiver.waitForRequests(1)

  await first.stop()
  const next = await startEngine({ address: first.address })
  await receiver.waitForRequests(2)

  await eventually(async () => expect((await next.deliveries())[0]?.state).toBe('DELIVERED'))
  expect(await next.attempts()).toMatchObject([{ number: 1, succeeded: true }])
})
