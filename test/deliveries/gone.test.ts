import { expect, test } from 'vitest'
import { resumeEndpoint } from '../../src/endpoints/save.ts'
import { receiverOf } from '../egress/world.ts'
import { startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

test('an endpoint that answers 410 is disabled and keeps its deliveries, which go out when it is resumed', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  receiver.answers(410)
  const id = await engine.addEndpoint(receiver.url, { maxInFlight: 1, retryPolicy: { delaysSeconds: [1] } })
  await engine.publish(3)

  await eventually(async () =>
    expect(await engine.endpoint(id)).toMatchObject({ state: 'DISABLED', disabledReason: 'GONE' }),
  )
  const { disabledAt } = await engine.endpoint(id)
  expect(Math.abs((disabledAt as Date).getTime() - Date.now())).toBeLessThan(5000)
  // Not even the one whose retry was due a second later.
  await eventually(async () => {
    const rows = await engine.deliveries()
    expect(rows).toMatchObject(Array(3).fill({ state: 'PENDING', ticketId: null }))
    expect(rows.map(({ waitingFor }) => waitingFor).sort()).toEqual(['ALLOWANCE', 'ALLOWANCE', 'RETRY_ALLOWANCE'])
  })
  expect(receiver.requests).toHaveLength(1)

  receiver.answers(200)
  await resumeEndpoint(engine, engine.viewer, id)
  await receiver.waitForRequests(4)
  await eventually(async () => expect(await engine.deliveries()).toMatchObject(Array(3).fill({ state: 'DELIVERED' })))
  expect(await engine.endpoint(id)).toMatchObject({ state: 'ACTIVE', disabledReason: null, disabledAt: null })
})

test('a paused endpoint that answers 410 to what was under way is disabled', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine()
  const id = await engine.addEndpoint(receiver.url)
  receiver.answers(async () => {
    await engine.change(id, { state: 'PAUSED' })
    return 410
  })
  await engine.publish()
  await eventually(async () =>
    expect(await engine.endpoint(id)).toMatchObject({ state: 'DISABLED', disabledReason: 'GONE' }),
  )
})

test('what the old URL said does not disable the endpoint at its new one', async () => {
  const [old, fresh] = [await receiverOf(), await receiverOf()]
  const engine = await startEngine()
  const id = await engine.addEndpoint(old.url, { retryPolicy: { delaysSeconds: [1] } })
  old.answers(async () => {
    await engine.change(id, { url: fresh.url })
    return 410
  })
  await engine.publish()
  await fresh.waitForRequests(1)
  await eventually(async () => expect(await engine.deliveries()).toMatchObject([{ state: 'DELIVERED' }]))
  expect(await engine.endpoint(id)).toMatchObject({ state: 'ACTIVE', disabledReason: null })
  expect(await engine.attempts()).toMatchObject([{ status: 410 }, { status: 200 }])
})

test('twenty answers of 410 at once, at two endpoints that settle together, disable both once', async () => {
  const [one, other] = [await receiverOf(), await receiverOf()]
  const engine = await startEngine()
  const ids = [await engine.addEndpoint(one.url), await engine.addEndpoint(other.url)]
  for (const receiver of [one, other]) receiver.answers({ status: 410, delayMs: 50 })
  await engine.publish(20)
  for (const id of ids) {
    await eventually(async () => expect(await engine.endpoint(id)).toMatchObject({ disabledReason: 'GONE' }))
  }
  await eventually(async () => expect(await engine.attempts()).toHaveLength(40))
  expect(await engine.deliveries()).toMatchObject(Array(40).fill({ state: 'PENDING', attemptsMade: 1 }))
})
