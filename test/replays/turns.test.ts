import { expect, test } from 'vitest'
import { deliveryIdOf, type EndpointId, type EventId, publicId, type ReplayId } from '../../schema/ids.ts'
import { MOST_RUNNING } from '../../src/replays/start.ts'
import { takeTurn } from '../../src/replays/turn.ts'
import type { Engine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { replayWorld } from './world.ts'

async function failed(engine: Engine, endpoint: EndpointId): Promise<string> {
  const [event] = await engine.publish()
  await engine.db.sql`
    insert into postrider.deliveries (id, tenant_id, event_id, endpoint_id, event_type, state, settled_at, created_at)
    values (${deliveryIdOf(event as EventId, endpoint)}, ${engine.tenantId}, ${event as EventId}, ${endpoint}, 'invoice.paid',
      'FAILED', now() - interval '10 s', now())`
  return publicId('evt', event as EventId)
}

test('a replay that is cancelled before it has done anything leaves nothing to do', async () => {
  const { engine, endpoint, start, cancel } = await replayWorld({ worker: false })
  await failed(engine, endpoint)
  for (let n = 0; n < 3; n++) await failed(engine, await engine.addEndpoint('http://127.0.0.1:9/'))
  for (let n = 0; n < MOST_RUNNING + 1; n++) {
    expect(await cancel(await start({ deliveries: {} }))).toMatchObject({ state: 'CANCELLED', nextTurnAt: null })
  }
  expect(await takeTurn({ ...engine, perSecond: 250 })).toBe(null)
  expect(await engine.db.sql`select from postrider.replay_parts where next_turn_at is not null`).toHaveLength(0)
})

test('only where something waits it is taken back, and until then the replay counts as running', async () => {
  const { engine, endpoint, start, cancel, replay } = await replayWorld({ worker: false })
  await engine.change(endpoint, { state: 'PAUSED' })
  const elsewhere = await engine.addEndpoint('http://127.0.0.1:9/')
  const turn = () => takeTurn({ ...engine, perSecond: 1_000_000 })
  const ids: ReplayId[] = []
  for (let n = 0; n < MOST_RUNNING; n++) {
    const eventIds = [await failed(engine, endpoint), await failed(engine, elsewhere)]
    ids.push(await start({ deliveries: { eventIds } }))
  }
  await eventually(async () => {
    await turn()
    for (const id of ids) expect(await replay(id)).toMatchObject({ state: 'COMPLETED', redelivered: 2 })
  })
  for (const id of ids) await cancel(id)
  const turns = await engine.db.sql`
    select distinct endpoint_id from postrider.replay_parts where next_turn_at is not null`
  expect(turns).toEqual([{ endpoint_id: endpoint }])
  await expect(start({ deliveries: {} })).rejects.toMatchObject({ code: 'TOO_MANY_REPLAYS' })

  for (const _ of ids) expect(await turn()).toEqual({ redelivered: -1 })
  for (const id of ids) await eventually(async () => expect(await replay(id)).toMatchObject({ redelivered: 1 }))
  expect(await engine.db.sql`select from postrider.replays where next_turn_at is not null`).toHaveLength(0)
  await start({ deliveries: {} })
})

test('a replay that fails is put back behind the others, which do not wait for it', async () => {
  const { engine, endpoint, start, replay } = await replayWorld({ worker: false })
  const context = { ...engine, perSecond: 250 }
  const poisoned = await start({ deliveries: { eventIds: [await failed(engine, endpoint)] } })
  const good = await start({ deliveries: { eventIds: [await failed(engine, endpoint)] } })
  await engine.db
    .sql`update postrider.replays set selection = '{"deliveries":{"eventIds":["none"]}}' where id = ${poisoned}`
  expect(await takeTurn(context)).toMatchObject({
    redelivered: 0,
    failed: { replay: poisoned, err: expect.any(Error) },
  })
  expect(await takeTurn(context)).toEqual({ redelivered: 1 })
  expect(await replay(good)).toMatchObject({ redelivered: 1 })
  const { nextTurnAt } = await replay(poisoned)
  expect(nextTurnAt?.getTime()).toBeGreaterThan(Date.now())
})
