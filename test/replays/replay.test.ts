import { describe, expect, test } from 'vitest'
import { type DeliveryId, type EventId, publicId } from '../../schema/ids.ts'
import { deleteEndpoint } from '../../src/endpoints/save.ts'
import { expungeEvent } from '../../src/retention/expunge.ts'
import { testEndpoint } from '../../src/routing/test-delivery.ts'
import { eventually } from '../support/eventually.ts'
import { insertSettled } from './rows.ts'
import { idsOf, replayWorld } from './world.ts'

describe('a replay', () => {
  test('reopens what has failed, with the next attempt number and the same webhook-id', async () => {
    const { engine, receiver, settled, start, ended, quiet } = await replayWorld()
    receiver.answers(404)
    await settled(30)
    receiver.answers(200)
    const id = await start({ deliveries: { states: ['FAILED'] } })
    expect(await ended(id)).toMatchObject({ state: 'COMPLETED', total: 30, redelivered: 30, skipped: 0 })
    expect(await quiet()).toMatchObject(
      Array(30).fill({ state: 'DELIVERED', attemptsMade: 2, scheduledAttemptsMade: 1, replayId: null }),
    )
    expect(receiver.requests).toHaveLength(60)
    expect(idsOf(receiver, 30).sort()).toEqual(idsOf(receiver).slice(0, 30).sort())
    expect(new Set(receiver.requests.slice(30).map(({ headers }) => headers['webhook-attempt']))).toEqual(
      new Set(['2']),
    )
    expect((await engine.attempts()).slice(30).every(({ trigger }) => trigger === 'REPLAY')).toBe(true)
  })

  test('gives what it reopens a fresh schedule, and its retries are its own', async () => {
    const { engine, endpoint, receiver, settled, start, ended } = await replayWorld()
    receiver.answers(500)
    await settled(1)
    await engine.change(endpoint, { retryPolicy: { delaysSeconds: [1, 1] } })
    receiver.answers(500, 500, 200)
    await ended(await start({ deliveries: {} }))
    await eventually(async () => {
      expect(await engine.deliveries()).toMatchObject([
        { state: 'DELIVERED', attemptsMade: 4, scheduledAttemptsMade: 3, replayId: null },
      ])
    }, 8000)
    expect((await engine.attempts()).map(({ trigger, succeeded }) => `${trigger} ${succeeded}`)).toEqual([
      'SCHEDULE false',
      'REPLAY false',
      'REPLAY false',
      'REPLAY true',
    ])
  })

  test('fails for good again after the last attempt of the schedule', async () => {
    const { engine, receiver, settled, start, ended, quiet } = await replayWorld()
    receiver.answers(500)
    const [before] = await settled(1)
    await ended(await start({ deliveries: {} }))
    const [after] = await quiet()
    expect(after).toMatchObject({ state: 'FAILED', attemptsMade: 2, replayId: null })
    expect(after?.settledAt?.getTime()).toBeGreaterThan(before?.settledAt?.getTime() as number)
    expect(await engine.attempts()).toHaveLength(2)
  })

  test('begins anew with what was cancelled', async () => {
    const { engine, receiver, endpoint, start, ended, quiet } = await replayWorld()
    await engine.change(endpoint, { state: 'PAUSED' })
    await engine.publish()
    const [waiting] = await eventually(async () => {
      const rows = await engine.deliveries()
      expect(rows).toHaveLength(1)
      return rows
    })
    await engine.redeliverer.cancel(engine.viewer, waiting?.id as DeliveryId)
    await engine.change(endpoint, { state: 'ACTIVE' })
    await ended(await start({ deliveries: { states: ['CANCELLED'] } }))
    expect(await quiet()).toMatchObject([{ state: 'DELIVERED', attemptsMade: 1 }])
    expect(receiver.requests).toHaveLength(1)
  })

  test.each([200, 500])(
    'sends what was delivered once more, and leaves it delivered when the answer is %d',
    async (answer) => {
      const { engine, receiver, settled, start, ended, quiet } = await replayWorld()
      const before = await settled(3)
      receiver.answers(answer)
      const id = await start({ deliveries: { states: ['DELIVERED'] } })
      expect(await ended(id)).toMatchObject({ state: 'COMPLETED', total: 3, redelivered: 3 })
      const after = await quiet()
      expect(receiver.requests).toHaveLength(6)
      expect(after).toEqual(
        before.map((row) => ({
          ...row,
          attemptsMade: 2,
          lastAttemptId: expect.not.stringMatching(row.lastAttemptId as string),
        })),
      )
      expect((await engine.attempts()).filter(({ trigger }) => trigger === 'REPLAY')).toHaveLength(3)
    },
  )

  test('sends each once, in however many turns', async () => {
    const { receiver, settled, start, ended, quiet } = await replayWorld({ maxInFlight: 4 })
    await settled(30)
    expect(await ended(await start({ deliveries: {} }))).toMatchObject({ total: 30, redelivered: 30 })
    expect(await quiet()).toMatchObject(Array(30).fill({ state: 'DELIVERED', attemptsMade: 2 }))
    expect(receiver.requests).toHaveLength(60)
  })

  test('counts what was expunged as such, of missed events too', async () => {
    const { engine, endpoint, preview, start, ended } = await replayWorld()
    await insertSettled(engine.db, endpoint, 3)
    const [first] = await engine.deliveries()
    const young = await engine.addEndpoint('http://127.0.0.1:9/')
    await expungeEvent(engine, engine.viewer, first?.eventId as EventId)
    const missed = { endpointId: publicId('ep', young), since: new Date(Date.now() - 60_000) }
    for (const select of [{ deliveries: { endpointIds: [publicId('ep', endpoint)] } }, { missed }]) {
      expect(await preview(select)).toMatchObject({
        total: 3,
        toRedeliver: 2,
        skips: [{ reason: 'PAYLOAD_GONE', count: 1 }],
      })
    }
    expect(await ended(await start({ deliveries: {} }))).toMatchObject({ total: 3, redelivered: 2, skipped: 1 })
  })

  test('leaves alone what is pending, what was asked for by hand, and tests', async () => {
    const { engine, receiver, endpoint, settled, preview, start, ended } = await replayWorld()
    await settled(1)
    await testEndpoint(engine, engine.viewer, endpoint, null)
    await receiver.waitForRequests(2)
    await eventually(async () => expect(await engine.attempts()).toHaveLength(2))
    await engine.change(endpoint, { state: 'PAUSED' })
    await engine.publish()
    await eventually(async () => expect(await engine.deliveries()).toHaveLength(3))
    expect(await preview({ deliveries: {} })).toEqual({
      total: 3,
      toRedeliver: 1,
      states: [
        { state: 'DELIVERED', count: 2 },
        { state: 'PENDING', count: 1 },
      ],
      skips: [
        { reason: 'PENDING', count: 1 },
        { reason: 'TEST', count: 1 },
      ],
      oldestAt: expect.any(Date),
      warnings: [
        { code: 'ENDPOINT_PAUSED', message: expect.stringContaining('1 go') },
        { code: 'PENDING_LEFT_ALONE', message: expect.stringContaining('1 are') },
        { code: 'UNBOUNDED', message: expect.any(String) },
      ],
    })
    const [delivered] = await engine.deliveries()
    const first = await start({ deliveries: {} })
    expect(await ended(first)).toMatchObject({ state: 'COMPLETED', total: 3, redelivered: 1, skipped: 2 })
    expect((await engine.deliveries()).map(({ replayId }) => replayId)).toEqual([first, null, null])
    await engine.redeliverer.retry(engine.viewer, delivered?.id as DeliveryId)
    const id = await start({ deliveries: {} })
    expect(await ended(id)).toMatchObject({ state: 'COMPLETED', total: 3, redelivered: 0, skipped: 3 })
    const rows = await engine.deliveries()
    expect(rows.map(({ replayId }) => replayId)).toEqual([first, null, null])
    expect(rows[0]).toMatchObject({ requestedTrigger: 'MANUAL', waitingFor: 'REQUESTED' })
  })

  test('keeps to its filter, and to what there was when it was started', async () => {
    const { engine, receiver, endpoint, settled, start, ended, quiet } = await replayWorld()
    receiver.answers(500)
    const rows = await settled(10)
    const chosen = rows.slice(2, 5)
    const id = await start({ deliveries: { eventIds: chosen.map(({ eventId }) => publicId('evt', eventId)) } })
    expect(await ended(id)).toMatchObject({ total: 3, redelivered: 3 })
    await quiet()
    expect(idsOf(receiver, 10).sort()).toEqual(chosen.map(({ eventId }) => publicId('evt', eventId)).sort())

    const other = await engine.addEndpoint(receiver.url)
    const none = await start({ deliveries: { endpointIds: [publicId('ep', other)] } })
    expect(await ended(none)).toMatchObject({ state: 'COMPLETED', total: 0, redelivered: 0, skipped: 0 })
    const until = await start({ deliveries: { endpointIds: [publicId('ep', endpoint)], until: new Date(0) } })
    expect(await ended(until)).toMatchObject({ state: 'COMPLETED', total: 0 })
  })

  test('does not send again what failed after it was started', async () => {
    const { engine, receiver, endpoint, start, ended } = await replayWorld({ worker: false })
    await insertSettled(engine.db, endpoint, 5)
    await insertSettled(engine.db, endpoint, 3, { type: 'late' })
    await engine.db.sql`
      update postrider.deliveries set state = 'PENDING', waiting_for = 'ALLOWANCE', settled_at = null where event_type = 'late'`
    const id = await start({ deliveries: {} })
    await engine.db.sql`
      update postrider.deliveries set state = 'FAILED', waiting_for = null, settled_at = now() + interval '2 seconds'
      where event_type = 'late'`
    await replayWorld({ address: engine.address })
    expect(await ended(id)).toMatchObject({ state: 'COMPLETED', total: 8, redelivered: 5, skipped: 3 })
    await receiver.waitForRequests(5)
    const late = (await engine.deliveries()).filter(({ eventType }) => eventType === 'late')
    expect(late).toMatchObject(Array(3).fill({ state: 'FAILED', attemptsMade: 4, replayId: null }))
  })

  test('to several endpoints does not stop at one that hangs', async () => {
    const { engine, receiver, endpoint, start, replay, cancel } = await replayWorld()
    const hanging = await engine.addEndpoint(`${receiver.url}/hangs`, {
      timeoutSeconds: 30,
      retryPolicy: { delaysSeconds: [] },
    })
    receiver.answers(404)
    await engine.publish(60)
    await eventually(async () => {
      expect((await engine.deliveries()).filter(({ state }) => state === 'FAILED')).toHaveLength(120)
    }, 15_000)
    receiver.answers(({ path }) => (path.endsWith('hangs') ? { hang: true } : 200))
    await engine.change(endpoint, { allowance: null, allowanceReason: null })
    await engine.change(hanging, { allowance: null, allowanceReason: null })
    const id = await start({ deliveries: { states: ['FAILED'] } })
    await eventually(async () => {
      expect((await engine.deliveries(endpoint)).every(({ state }) => state === 'DELIVERED')).toBe(true)
    }, 10_000)
    // Half of its twenty, and no more: the other half is for new events.
    await eventually(async () =>
      expect(await replay(id)).toMatchObject({ state: 'RUNNING', total: 120, redelivered: 70 }),
    )
    const rows = await engine.deliveries(hanging)
    expect(rows.filter(({ ticketId }) => ticketId !== null)).toHaveLength(10)
    // What the first deliveries have left of one is over within a second, and the replay brings none about.
    await eventually(async () => expect(await engine.endpoint(hanging)).toMatchObject({ backlog: false }))
    await cancel(id)
  })
})

test('a replay that cannot be taken on holds up no other', async () => {
  const { engine, settled, start, ended, quiet, replay } = await replayWorld()
  await settled(5)
  const broken = await start({ deliveries: {} })
  await ended(broken)
  await quiet()
  const selection = JSON.stringify({ deliveries: { endpointIds: ['nonsense'] } })
  await engine.db.sql`update postrider.replay_parts set next_turn_at = now() where replay_id = ${broken}`
  await engine.db.sql`
    update postrider.replays set selection = ${selection}::text::jsonb, state = 'RUNNING', finished_at = null,
      next_turn_at = now() - interval '1 hour' where id = ${broken}`
  expect(await ended(await start({ deliveries: {} }))).toMatchObject({ state: 'COMPLETED', redelivered: 5 })
  const { state, nextTurnAt } = await replay(broken)
  expect(state).toBe('RUNNING')
  expect(nextTurnAt?.getTime()).toBeGreaterThan(Date.now())
})

describe('an endpoint', () => {
  test('that is paused gets its replay when it is resumed, after what is new', async () => {
    const { engine, receiver, endpoint, preview, start, ended, replay } = await replayWorld()
    // More than one step takes.
    await insertSettled(engine.db, endpoint, 60)
    await engine.change(endpoint, { state: 'PAUSED' })
    const select = { deliveries: { endpointIds: [publicId('ep', endpoint)] } }
    expect((await preview(select)).warnings.map(({ code }) => code)).toContain('ENDPOINT_PAUSED')
    const id = await start(select)
    expect(await ended(id)).toMatchObject({ state: 'COMPLETED', total: 60, redelivered: 60 })
    expect(await engine.deliveries()).toMatchObject(
      Array(60).fill({
        state: 'PENDING',
        waitingFor: 'REPLAY',
        ticketId: null,
        scheduledAttemptsMade: 0,
        replayId: id,
      }),
    )
    const [young] = await engine.publish()
    await eventually(async () => expect(await engine.deliveries()).toHaveLength(61))

    await engine.change(endpoint, { state: 'ACTIVE', backlog: true })
    engine.wake.signal('promote')
    await eventually(async () => {
      expect((await engine.deliveries()).every(({ state }) => state === 'DELIVERED')).toBe(true)
      expect(await engine.endpoint(endpoint)).toMatchObject({ backlog: false })
    }, 10_000)
    expect(idsOf(receiver).indexOf(publicId('evt', young as never))).toBeLessThan(20)
    expect(receiver.requests).toHaveLength(61)
    expect(await replay(id)).toMatchObject({ redelivered: 60 })
  })

  test('that was deleted is refused, and one that is deleted meanwhile ends its replay', async () => {
    const { engine, receiver, endpoint, settled, start, ended, replay } = await replayWorld()
    receiver.answers(404)
    await settled(100)
    receiver.answers({ hang: true })
    await engine.change(endpoint, { maxInFlight: 2, allowance: null, allowanceReason: null })
    const id = await start({ deliveries: { states: ['FAILED'] } })
    await eventually(async () => expect(await replay(id)).toMatchObject({ redelivered: 1 }))
    await deleteEndpoint(engine, engine.viewer, endpoint)
    expect(await ended(id)).toMatchObject({
      state: 'FAILED',
      failure: 'ENDPOINT_DELETED',
      total: 100,
      redelivered: 1,
      skipped: 99,
    })
    expect(await engine.deliveries()).toMatchObject(
      Array(100).fill({ ticketId: null, waitingFor: null, replayId: null }),
    )
    await expect(start({ deliveries: { endpointIds: [publicId('ep', endpoint)] } })).rejects.toMatchObject({
      code: 'ENDPOINT_DELETED',
      path: ['input', 'select', 'deliveries', 'endpointIds', '0'],
    })
    await expect(start({ missed: { endpointId: publicId('ep', endpoint), since: new Date(0) } })).rejects.toMatchObject(
      { code: 'ENDPOINT_DELETED', path: ['input', 'select', 'missed', 'endpointId'] },
    )
  })

  test('is neither failing nor healthy by what a replay brings it; but 410 disables it', async () => {
    const { engine, receiver, endpoint, settled, start, ended, quiet } = await replayWorld({
      healthRules: { failingAfterSeconds: 0, disableAfterSeconds: 0, disableAfterAttempts: 3 },
    })
    await settled(20)
    receiver.answers(500)
    await ended(await start({ deliveries: {} }))
    await quiet()
    expect(await engine.attempts()).toHaveLength(40)
    expect(await engine.endpoint(endpoint)).toMatchObject({
      state: 'ACTIVE',
      health: 'HEALTHY',
      failingSince: null,
      failedAttempts: 0,
    })

    await engine.change(endpoint, {
      health: 'FAILING',
      failingSince: new Date(),
      failedAttempts: 2,
      allowance: null,
      allowanceReason: null,
    })
    receiver.answers(200)
    await ended(await start({ deliveries: {} }))
    await quiet()
    expect(await engine.endpoint(endpoint)).toMatchObject({ state: 'ACTIVE', health: 'FAILING', failedAttempts: 2 })

    receiver.answers(410)
    const [first] = await engine.deliveries()
    await ended(await start({ deliveries: { eventIds: [publicId('evt', first?.eventId as never)] } }))
    await quiet()
    expect(await engine.endpoint(endpoint)).toMatchObject({ state: 'DISABLED', disabledReason: 'GONE' })
  })

  test('that pushes back is paced by what a replay brings it', async () => {
    const { engine, receiver, endpoint, settled, start, ended, quiet } = await replayWorld()
    await settled(20)
    receiver.answers(503)
    await ended(await start({ deliveries: {} }))
    await quiet()
    expect(await engine.endpoint(endpoint)).toMatchObject({ allowanceReason: 'PUSHBACK' })
  })
})

test('a preview says when it begins before what is kept', async () => {
  const { preview, settled } = await replayWorld({ retention: { days: 3, bodyDays: 2 } })
  await settled(1)
  const since = (daysAgo: number) => ({ deliveries: { since: new Date(Date.now() - daysAgo * 86_400_000) } })
  expect((await preview(since(1))).warnings).toEqual([])
  expect((await preview(since(10))).warnings).toMatchObject([{ code: 'PARTLY_DROPPED' }])
})
