import { expect, test } from 'vitest'
import { receiverOf } from '../egress/world.ts'
import { startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

test('an endpoint that answers 429 is given fewer at a time, and all of them again once it stops', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  // More than four at once are too many for it.
  const LIMIT = 4
  let [inFlight, busiest] = [0, 0]
  let limited = true
  receiver.answers(async () => {
    busiest = Math.max(busiest, ++inFlight)
    const status = limited && inFlight > LIMIT ? 429 : 200
    await new Promise((resolve) => setTimeout(resolve, 20))
    inFlight--
    return status
  })
  const id = await engine.addEndpoint(receiver.url, {
    maxInFlight: 16,
    retryPolicy: { delaysSeconds: [1, 1, 1, 1, 1] },
  })
  await engine.publish(500)
  await eventually(async () =>
    expect(await engine.endpoint(id)).toMatchObject({ allowance: LIMIT, allowanceReason: 'PUSHBACK' }),
  )
  limited = false
  await eventually(async () => {
    if ((await engine.deliveries()).every(({ state }) => state !== 'PENDING')) await engine.publish(50)
    expect(await engine.endpoint(id)).toMatchObject({ allowance: null, allowanceReason: null })
  }, 10_000)
  expect(busiest).toBeLessThanOrEqual(16)
  await eventually(
    async () => expect((await engine.deliveries()).every(({ state }) => state === 'DELIVERED')).toBe(true),
    10_000,
  )
})

test('an endpoint that does not answer is given one at a time in the end, and its neighbour notices nothing', async () => {
  const [dead, well] = [await receiverOf(), await receiverOf()]
  const engine = await startEngine()
  dead.answers({ hang: true })
  const id = await engine.addEndpoint(dead.url, { timeoutSeconds: 1, maxInFlight: 8, eventTypes: ['dead'] })
  const neighbour = await engine.addEndpoint(well.url, { eventTypes: ['well'] })
  await engine.publish(100, 'dead')
  await eventually(
    async () => expect(await engine.endpoint(id)).toMatchObject({ allowance: 1, allowanceReason: 'FAILING' }),
    10_000,
  )
  await engine.publish(100, 'well')
  await well.waitForRequests(100)
  expect(await engine.endpoint(neighbour)).toMatchObject({ allowance: null })
})
