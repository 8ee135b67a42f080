import { expect, test } from 'vitest'
import { lowestIdAt } from '../../schema/ids.ts'
import { promote } from '../../src/deliveries/promoter.ts'
import { silentLog } from '../../src/log.ts'
import { startEngine } from '../support/engine.ts'

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
