import { describe, expect, test } from 'vitest'
import { type DeliveryId, publicId, type ReplayId } from '../../schema/ids.ts'
import { takeTurn } from '../../src/replays/turn.ts'
import { movableClock } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { insertSettled } from './rows.ts'
import { replayWorld } from './world.ts'

/** Replays whose turns are taken by hand, one after the other, with a second between two of them. */
async function stepByStep() {
  const clock = movableClock()
  const world = await replayWorld({ worker: false, clock })
  const { engine, replay } = world
  const step = () => {
    clock.forward(1000)
    return takeTurn({ ...engine, perSecond: 2000 })
  }
  return {
    ...world,
    step,
    /** Takes turns until there are none left. */
    async over(id: ReplayId) {
      while ((await step()) !== null);
      return replay(id)
    },
  }
}

describe('a replay, step by step', () => {
  test('finds what its filter matches behind more than one step looks at', async () => {
    const { engine, endpoint, start, over } = await stepByStep()
    await insertSettled(engine.db, endpoint, 1500, { type: 'many' })
    await insertSettled(engine.db, endpoint, 2, { type: 'few' })
    const id = await start({ deliveries: { eventTypes: ['few'] } })
    expect(await over(id)).toMatchObject({ state: 'COMPLETED', total: 2, redelivered: 2, skipped: 0 })
  })

  test('leaves alone what somebody else took on while it waited for the endpoint', async () => {
    const { engine, endpoint, start, step, replay } = await stepByStep()
    const { sql } = engine.db
    await insertSettled(engine.db, endpoint, 2)
    await insertSettled(engine.db, endpoint, 2, { state: 'DELIVERED' })
    const [failed, , delivered] = (await engine.deliveries()).map(({ id }) => id)
    const id = await start({ deliveries: {} })
    const other = await sql.reserve()
    await other`begin`
    await other`select from postrider.endpoints where id = ${endpoint} for update`
    const turn = step()
    await eventually(async () => {
      const waiting = await sql`
        select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
      expect(waiting).toHaveLength(1)
    })
    await other`update postrider.deliveries set state = 'PENDING', settled_at = null, waiting_for = 'ALLOWANCE' where id = ${failed as DeliveryId}`
    await other`update postrider.deliveries set requested_trigger = 'MANUAL', requested_at = now(), waiting_for = 'REQUESTED' where id = ${delivered as DeliveryId}`
    await other`commit`
    other.release()
    await turn
    expect(await replay(id)).toMatchObject({ redelivered: 2 })
    const rows = await engine.deliveries()
    expect(rows.map(({ replayId }) => replayId)).toEqual([null, id, null, id])
    expect(rows[0]).toMatchObject({ state: 'PENDING', waitingFor: 'ALLOWANCE', ticketId: null })
    expect(rows[2]).toMatchObject({ state: 'DELIVERED', waitingFor: 'REQUESTED', requestedTrigger: 'MANUAL' })
  })

  test('counts what was settled in the moment of its start, though it was not counted then', async () => {
    const { engine, endpoint, start, over } = await stepByStep()
    await insertSettled(engine.db, endpoint, 3)
    const id = await start({ deliveries: {} })
    await insertSettled(engine.db, endpoint, 2)
    expect(await over(id)).toMatchObject({ state: 'COMPLETED', total: 5, redelivered: 5, skipped: 0 })
  })

  test('does not bring what has yet to be put into its lane: that comes from there', async () => {
    const { engine, endpoint, preview, start, over } = await stepByStep()
    await engine.change(endpoint, { ordering: 'PER_ENDPOINT' })
    const [routed] = await engine.publish(2)
    await engine.db.sql`update postrider.events set routed_at = now()`
    await engine.db.sql`delete from postrider.lane_outbox where event_id = ${routed ?? null}`
    expect(await engine.db.sql`select from postrider.lane_outbox`).toHaveLength(1)
    const missed = { endpointId: publicId('ep', endpoint), since: new Date(Date.now() - 60_000) }
    expect(await preview({ missed })).toMatchObject({ total: 1, toRedeliver: 1 })
    expect(await over(await start({ missed }))).toMatchObject({ total: 1, redelivered: 1 })
    expect(await engine.deliveries()).toMatchObject([{ eventId: routed }])
  })

  test('takes nothing back that was tried already, though it waits again', async () => {
    const { engine, endpoint, start, over, cancel } = await stepByStep()
    await engine.change(endpoint, { state: 'PAUSED' })
    await insertSettled(engine.db, endpoint, 2)
    const id = await start({ deliveries: {} })
    expect(await over(id)).toMatchObject({ state: 'COMPLETED', redelivered: 2 })
    const [tried] = await engine.deliveries()
    await engine.db
      .sql`update postrider.deliveries set scheduled_attempts_made = 1 where id = ${tried?.id as DeliveryId}`
    await cancel(id)
    expect(await over(id)).toMatchObject({ state: 'CANCELLED', total: 2, redelivered: 1 })
    expect(await engine.deliveries()).toMatchObject([
      { state: 'PENDING', waitingFor: 'REPLAY', replayId: id },
      { state: 'FAILED', waitingFor: null, replayId: null },
    ])
  })
})
