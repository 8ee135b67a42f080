import { expect, test } from 'vitest'
import { lowestIdAt } from '../../schema/ids.ts'
import { promote } from '../../src/deliveries/promoter.ts'
import { silentLog } from '../../src/log.ts'
import { startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

test('of endpoints with much room so many are topped up in one transaction that it is short', async () => {
  const engine = await startEngine({ worker: false })
  const endpoints = 5
  for (let n = 0; n < endpoints; n++) await engine.addEndpoint('http://127.0.0.1:9/hook', { maxInFlight: 1000 })
  const day = lowestIdAt(Date.now() - 1000).slice(0, 13)
  await engine.db.sql`
    insert into postrider.deliveries (id, tenant_id, event_id, endpoint_id, event_type, waiting_for, created_at)
    select (${day} || right(gen_random_uuid()::text, 23))::uuid, tenant_id, gen_random_uuid(), id, 'a', 'ALLOWANCE', now()
    from postrider.endpoints, generate_series(1, 300)`
  await engine.db.sql`update postrider.endpoints set backlog = true`
  const given: number[] = []
  const tickets: typeof engine.tickets = {
    ...engine.tickets,
    enqueue(tx, queue, some) {
      if (some.length > 0) given.push(some.length)
      return engine.tickets.enqueue(tx, queue, some)
    },
  }
  await expect(promote({ ...engine, tickets, log: silentLog })).resolves.toMatchObject({ admitted: endpoints * 300 })
  expect(given).toEqual([600, 600, 300])
  const [left] = await engine.db.sql`select count(*)::int from postrider.endpoints where backlog`
  expect(left?.count).toBe(0)
})

test('what waits in the lanes of an endpoint that is deleted during a round is ended by the next one', async () => {
  const engine = await startEngine({ worker: false })
  const { db } = engine
  const endpoint = await engine.addEndpoint('http://127.0.0.1:9/hook')
  await engine.publish(1)
  const [event] = await db.sql`select id, tenant_id from postrider.events`
  await db.sql`
    insert into postrider.deliveries (id, tenant_id, event_id, endpoint_id, event_type, lane, sequence, waiting_for, created_at)
    values (${event?.id}, ${event?.tenant_id}, ${event?.id}, ${endpoint}, 'a', '', 1, 'ORDER', now())`
  await db.sql`update postrider.endpoints set backlog = true`
  const context = { ...engine, log: silentLog }

  const round = await db.transaction(async (tx) => {
    await tx`select from postrider.endpoints where id = ${endpoint} for update`
    const promoting = promote(context)
    await eventually(async () =>
      expect(
        await db.sql`select from pg_locks where not granted and locktype in ('transactionid', 'tuple')`,
      ).not.toEqual([]),
    )
    await tx`update postrider.endpoints set deleted_at = now() where id = ${endpoint}`
    return { promoting }
  })
  await round.promoting
  await promote(context)
  const [delivery] = await engine.deliveries()
  expect(delivery).toMatchObject({ state: 'CANCELLED', waitingFor: null })
})
