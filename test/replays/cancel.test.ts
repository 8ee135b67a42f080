import { describe, expect, test } from 'vitest'
import { newId } from '../../schema/ids.ts'
import { eventually } from '../support/eventually.ts'
import { insertSettled } from './rows.ts'
import { replayWorld } from './world.ts'

describe('cancelling a replay', () => {
  test('leaves what it has not reached as it was, and what is in flight alone', async () => {
    const { receiver, settled, start, ended, replay, cancel, quiet } = await replayWorld()
    receiver.answers(404)
    await settled(100)
    let answer = () => {}
    const answered = new Promise<void>((resolve) => {
      answer = resolve
    })
    receiver.answers(async () => {
      await answered
      return 200
    })
    const id = await start({ deliveries: { states: ['FAILED'] } })
    await eventually(async () => expect(await replay(id)).toMatchObject({ redelivered: 10 }))
    await receiver.waitForRequests(110)
    expect(await cancel(id)).toMatchObject({ state: 'CANCELLED', finishedAt: expect.any(Date) })
    answer()
    expect(await ended(id)).toMatchObject({ state: 'CANCELLED', total: 100, redelivered: 10, skipped: 0 })
    const rows = await quiet()
    expect(rows.slice(0, 10)).toMatchObject(Array(10).fill({ state: 'DELIVERED' }))
    expect(rows.slice(10)).toMatchObject(Array(90).fill({ state: 'FAILED', attemptsMade: 1 }))
    expect(receiver.requests).toHaveLength(110)
  })

  test('takes back what waits at a paused endpoint, also when all of it was handed over', async () => {
    const { engine, receiver, endpoint, start, ended, cancel } = await replayWorld()
    await insertSettled(engine.db, endpoint, 333)
    await insertSettled(engine.db, endpoint, 167, { state: 'DELIVERED' })
    const before = await engine.deliveries()
    await engine.change(endpoint, { state: 'PAUSED' })
    const id = await start({ deliveries: {} })
    expect(await ended(id)).toMatchObject({ state: 'COMPLETED', redelivered: 500 })
    expect(await cancel(id)).toMatchObject({ state: 'CANCELLED' })
    expect(await ended(id)).toMatchObject({ state: 'CANCELLED', total: 500, redelivered: 0 })
    // As if nothing had been, but for the schedule: it begins anew whenever they are sent again.
    expect(await engine.deliveries()).toEqual(
      before.map((row) => (row.state === 'DELIVERED' ? row : { ...row, scheduledAttemptsMade: 0 })),
    )
    await engine.change(endpoint, { state: 'ACTIVE', backlog: true })
    engine.wake.signal('promote')
    await eventually(async () => expect(await engine.endpoint(endpoint)).toMatchObject({ backlog: false }))
    expect(receiver.requests).toHaveLength(0)
    await expect(cancel(id)).rejects.toMatchObject({ code: 'NOT_RUNNING' })
  })

  test('leaves a lane waiting for what has failed in it', async () => {
    const { engine, receiver, endpoint, start, ended, cancel } = await replayWorld()
    await engine.change(endpoint, { ordering: 'PER_ENDPOINT' })
    receiver.answers(404)
    await engine.publish(3)
    const states = async () => (await engine.deliveries()).map(({ state, waitingFor }) => `${state} ${waitingFor}`)
    const blocked = ['FAILED null', 'PENDING ORDER', 'PENDING ORDER']
    await eventually(async () => expect((await states()).sort()).toEqual(blocked))
    await engine.change(endpoint, { state: 'PAUSED' })
    const id = await start({ deliveries: {} })
    expect(await ended(id)).toMatchObject({ redelivered: 1, skipped: 2 })
    await cancel(id)
    await ended(id)
    expect((await states()).sort()).toEqual(blocked)

    await engine.change(endpoint, { state: 'ACTIVE', backlog: true })
    receiver.answers(200)
    expect(await ended(await start({ deliveries: {} }))).toMatchObject({ redelivered: 1 })
    await eventually(async () => expect(await states()).toEqual(Array(3).fill('DELIVERED null')))
    const order = receiver.requests.map(({ headers }) => headers['webhook-sequence'])
    expect(order).toEqual(['1', '1', '2', '3'])
  })

  test('that has ended, or is not the tenant’s, is refused', async () => {
    const { settled, start, ended, cancel } = await replayWorld()
    await settled(1)
    const id = await start({ deliveries: {} })
    await expect(cancel(id, newId<'ten'>(new Date()))).rejects.toMatchObject({ code: 'NOT_FOUND', path: ['id'] })
    await expect(cancel(newId<'rpl'>(new Date()))).rejects.toMatchObject({ code: 'NOT_FOUND', path: ['id'] })
    await ended(id)
    await eventually(() => expect(cancel(id)).rejects.toMatchObject({ code: 'NOT_RUNNING', path: ['id'] }))
  })
})
