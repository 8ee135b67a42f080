import { expect, test } from 'vitest'
import { deliveryIdOf, type EventId, publicId } from '../../schema/ids.ts'
import type { Tx } from '../../src/postgres/client.ts'
import { takeTurn } from '../../src/replays/turn.ts'
import { expungeEvent } from '../../src/retention/expunge.ts'
import type { Engine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { replayWorld } from './world.ts'

/** Does something in a transaction and leaves it open until `end`. */
async function hold({ db }: Engine, work: (tx: Tx) => Promise<unknown>) {
  const held = Promise.withResolvers<Tx>()
  const go = Promise.withResolvers<void>()
  const done = db.transaction(async (tx) => {
    await work(tx)
    held.resolve(tx)
    await go.promise
  })
  const tx = await held.promise
  return {
    tx,
    async end() {
      go.resolve()
      await done
    },
  }
}

const waitingForLocks = ({ db }: Engine, count: number) =>
  eventually(async () => {
    const rows = await db.sql`
      select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    expect(rows).toHaveLength(count)
  })

test.each`
  meanwhile                         | changes
  ${'delivered by a retry by hand'} | ${{ state: 'DELIVERED', failed_reason: null }}
  ${'cancelled by hand'}            | ${{ state: 'CANCELLED', failed_reason: null }}
  ${'failed once more'}             | ${{ state: 'FAILED' }}
`('what was chosen as failed and is $meanwhile before the endpoint is locked is left alone', async ({ changes }) => {
  const { engine, endpoint, start, replay } = await replayWorld({ worker: false })
  const [event] = await engine.publish()
  const id = deliveryIdOf(event as EventId, endpoint)
  await engine.db.sql`
    insert into postrider.deliveries (id, tenant_id, event_id, endpoint_id, event_type, state, failed_reason, settled_at, created_at)
    values (${id}, ${engine.tenantId}, ${event as EventId}, ${endpoint}, 'invoice.paid', 'FAILED', 'EXHAUSTED', now() - interval '10 s', now())`
  const started = await start({ deliveries: { states: ['FAILED'] } })
  const lock = await hold(engine, (tx) => tx`select from postrider.endpoints where id = ${endpoint} for no key update`)
  const turn = takeTurn({ ...engine, perSecond: 250 })
  await waitingForLocks(engine, 1)
  await lock.tx`update postrider.deliveries set ${lock.tx({ settled_at: new Date().toISOString(), ...changes })} where id = ${id}`
  await lock.end()

  await turn
  expect(await replay(started)).toMatchObject({ state: 'COMPLETED', total: 1, redelivered: 0, skipped: 1 })
  expect(await engine.deliveries()).toMatchObject([{ state: changes.state, ticketId: null, replayId: null }])
})

test('what was chosen and is expunged before the endpoint is locked is not begun anew', async () => {
  const { engine, endpoint, start } = await replayWorld({ worker: false })
  const [event] = await engine.publish()
  await engine.db.sql`
    insert into postrider.deliveries (id, tenant_id, event_id, endpoint_id, event_type, state, settled_at, created_at)
    values (${deliveryIdOf(event as EventId, endpoint)}, ${engine.tenantId}, ${event as EventId}, ${endpoint}, 'invoice.paid',
      'CANCELLED', now() - interval '10 s', now())`
  await start({ deliveries: {} })
  const lock = await hold(engine, (tx) => tx`select from postrider.endpoints where id = ${endpoint} for no key update`)
  const expunged = expungeEvent(engine, engine.admin, event as EventId)
  await waitingForLocks(engine, 1)
  const turn = takeTurn({ ...engine, perSecond: 250 })
  await waitingForLocks(engine, 2)
  await lock.end()
  await Promise.all([expunged, turn])
  expect(await engine.deliveries()).toMatchObject([{ state: 'CANCELLED', ticketId: null }])
})

test('a missed event whose payload is being removed gets no delivery', async () => {
  const { engine, endpoint, start } = await replayWorld({ worker: false })
  const [event] = await engine.publish()
  await engine.db.sql`update postrider.events set routed_at = now()`
  await start({ missed: { endpointId: publicId('ep', endpoint), since: new Date(Date.now() - 60_000) } })
  const removal = await hold(engine, (tx) => tx`delete from postrider.event_payloads where id = ${event as EventId}`)
  await takeTurn({ ...engine, perSecond: 250 })
  await removal.end()
  expect(await engine.deliveries()).toEqual([])
})

test('a missed event that is expunged while its delivery is being created is not sent', async () => {
  const { engine, endpoint, start } = await replayWorld({ worker: false })
  const [event] = await engine.publish()
  await engine.db.sql`update postrider.events set routed_at = now()`
  await start({ missed: { endpointId: publicId('ep', endpoint), since: new Date(Date.now() - 60_000) } })
  // Somebody else creates the same delivery and then does not: until that is known, the replay is in the middle of its own.
  const other = await hold(
    engine,
    (tx) => tx`
      insert into postrider.deliveries (id, tenant_id, event_id, endpoint_id, event_type, waiting_for, created_at)
      values (${deliveryIdOf(event as EventId, endpoint)}, ${engine.tenantId}, ${event as EventId}, ${endpoint}, 'invoice.paid', 'ALLOWANCE', now())`,
  )
  const turn = takeTurn({ ...engine, perSecond: 250 })
  await waitingForLocks(engine, 1)
  const expunged = expungeEvent(engine, engine.admin, event as EventId)
  await waitingForLocks(engine, 2)
  await other.tx`delete from postrider.deliveries`
  await other.end()
  await Promise.all([turn, expunged])
  expect(await engine.deliveries()).toMatchObject([{ state: 'CANCELLED', ticketId: null, replayId: null }])
})
