import { expect, test, vi } from 'vitest'
import type { EndpointId } from '../../schema/ids.ts'
import { newId } from '../../schema/ids.ts'
import { silentLog } from '../../src/log.ts'
import { type OutboxTicket, route } from '../../src/routing/route.ts'
import { receiverOf } from '../egress/world.ts'
import { movableClock, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

const URL = 'http://127.0.0.1:9/hook'

/** An engine whose outbox is routed by hand. */
async function world() {
  const engine = await startEngine({ worker: false })
  const claim = async () => (await engine.tickets.claim<OutboxTicket>('outbox', 16)).claims
  const routeAll = async () => route(engine, await claim())
  return { ...engine, claim, routeAll }
}

test('an event gets a delivery with a ticket for each endpoint that wants its type', async () => {
  const { addEndpoint, publish, routeAll, deliveries, ticketsIn, db } = await world()
  const all = await addEndpoint(URL)
  const invoices = await addEndpoint(URL, { eventTypes: ['invoice.*', 'invoice.paid'] })
  await addEndpoint(URL, { eventTypes: ['invoice', 'invoices.paid'] })
  const [event] = await publish(1, 'invoice.paid')

  await expect(routeAll()).resolves.toEqual({ admitted: 2, backlogBegan: false, ordered: [], deferred: 0 })

  const rows = await deliveries()
  expect(rows.map(({ endpointId }) => endpointId).sort()).toEqual([all, invoices].sort())
  for (const row of rows) {
    expect(row).toMatchObject({ eventId: event, eventType: 'invoice.paid', state: 'PENDING', waitingFor: null })
    expect(row.ticketId).not.toBeNull()
  }
  expect(await ticketsIn('deliver')).toBe(2)
  expect(await ticketsIn('outbox')).toBe(0)
  const [{ routed }] = await db.sql<
    [{ routed: boolean }]
  >`select bool_and(routed_at is not null) as routed from postrider.events`
  expect(routed).toBe(true)
})

test('an event that nobody wants is kept and stamped as routed', async () => {
  const { addEndpoint, publish, routeAll, deliveries, db } = await world()
  await addEndpoint(URL, { eventTypes: ['user.*'] })
  await publish()
  await expect(routeAll()).resolves.toEqual({ admitted: 0, backlogBegan: false, ordered: [], deferred: 0 })
  expect(await deliveries()).toEqual([])
  const events = await db.sql`select from postrider.events where routed_at is not null`
  expect(events).toHaveLength(1)
})

test('a deleted endpoint gets nothing, a paused one gets deliveries that wait', async () => {
  const { addEndpoint, change, publish, routeAll, deliveries, endpoint, ticketsIn } = await world()
  const deleted = await addEndpoint(URL)
  const paused = await addEndpoint(URL)
  await change(deleted, { deletedAt: new Date() })
  await change(paused, { state: 'PAUSED' })
  await publish(3)
  await routeAll()
  expect(await deliveries(deleted)).toEqual([])
  expect(await deliveries(paused)).toMatchObject(
    Array(3).fill({ state: 'PENDING', waitingFor: 'ALLOWANCE', ticketId: null }),
  )
  expect(await endpoint(paused)).toMatchObject({ backlog: true })
  expect(await ticketsIn('deliver')).toBe(0)
})

test("another tenant's endpoint gets nothing", async () => {
  const { addEndpoint, change, publish, routeAll, deliveries, db } = await world()
  const foreign = await addEndpoint(URL)
  const tenantId = newId<'ten'>(new Date())
  await db.sql`insert into postrider.tenants (id, key, created_at) values (${tenantId}, 'other', now())`
  await change(foreign, { tenantId })
  await publish()
  await routeAll()
  expect(await deliveries()).toEqual([])
})

test('routing an event once more creates nothing twice', async () => {
  const { addEndpoint, publish, claim, routeAll, deliveries, ticketsIn, tickets, db, clock, operationsTenantId } =
    await world()
  await addEndpoint(URL, { maxInFlight: 2 })
  const events = await publish(4)
  const claims = await claim()
  await route({ db, tickets, clock, operationsTenantId }, claims)
  const before = await deliveries()
  expect(before).toHaveLength(4)

  await route({ db, tickets, clock, operationsTenantId }, claims)
  await tickets.enqueue(db.sql, 'outbox', [{ id: newId(new Date()), data: { events } }])
  await expect(routeAll()).resolves.toMatchObject({ admitted: 0 })

  expect(await deliveries()).toEqual(before)
  expect(await ticketsIn('deliver')).toBe(2)
})

test('a claim that was lost changes nothing', async () => {
  const { addEndpoint, publish, claim, deliveries, tickets, db, clock, operationsTenantId } = await world()
  await addEndpoint(URL)
  await publish()
  const claims = await claim()
  await tickets.finish(db.sql, 'outbox', claims)

  await expect(route({ db, tickets, clock, operationsTenantId }, claims)).resolves.toEqual({
    admitted: 0,
    backlogBegan: false,
    ordered: [],
    deferred: 0,
  })
  expect(await deliveries()).toEqual([])
  const routed = await db.sql`select from postrider.events where routed_at is not null`
  expect(routed).toHaveLength(0)
})

test('an endpoint created a moment before an event never misses it', async () => {
  const receiver = await receiverOf()
  const { addEndpoint, publish, deliveries } = await startEngine()
  const made = await Promise.all(
    Array.from({ length: 50 }, async (_, i) => {
      const endpoint = await addEndpoint(receiver.url, { eventTypes: [`made.at_${i}`] })
      await publish(1, `made.at_${i}`)
      return endpoint
    }),
  )
  await eventually(async () => {
    const reached = (await deliveries()).map(({ endpointId }): EndpointId => endpointId)
    expect(reached.sort()).toEqual(made.sort())
  })
})

test('what could not be routed is tried again within seconds', async () => {
  const receiver = await receiverOf()
  const { addEndpoint, publish, deliveries, db } = await startEngine()
  await addEndpoint(receiver.url)
  await db.sql.unsafe(`
    create sequence public.failures;
    create function public.fail() returns trigger language plpgsql as $$
      begin if nextval('public.failures') = 1 then raise exception 'on purpose'; end if; return new; end $$;
    create trigger fail before insert on postrider.deliveries for each row execute function public.fail();`)
  await publish()
  await eventually(async () => expect(await deliveries()).toMatchObject([{ state: 'DELIVERED' }]), 8000)
})

test('an event that cannot be routed does not keep its neighbours', async () => {
  const receiver = await receiverOf()
  const log = { ...silentLog, error: vi.fn() }
  const clock = movableClock()
  // What waits for a moment that is over by the database's clock goes at once.
  clock.forward(-300_000)
  const { addEndpoint, publisher, tenantId, deliveries, db, ticketsIn } = await startEngine({ log, clock })
  const parked = async () =>
    (await db.sql<{ type: string }[]>`select type from postrider.events where parked_at is not null`).map(
      (row) => row.type,
    )
  await addEndpoint(receiver.url)
  await db.sql.unsafe(`
    create function public.fail() returns trigger language plpgsql as $$
      begin if new.event_type = 'poison' then raise exception 'on purpose'; end if; return new; end $$;
    create trigger fail before insert on postrider.deliveries for each row execute function public.fail();`)
  const types = Array.from({ length: 20 }, (_, i) => (i === 7 ? 'poison' : 'invoice.paid'))
  await publisher.publishBatch(types.map((type) => ({ tenantId, type, payload: {} })))

  await eventually(async () => {
    const rows = await deliveries()
    expect(rows.filter(({ state }) => state === 'DELIVERED')).toHaveLength(19)
  })
  await eventually(async () => expect(await parked()).toEqual(['poison']))
  expect(log.error).toHaveBeenCalledWith(
    expect.objectContaining({ err: expect.objectContaining({ message: expect.stringContaining('on purpose') }) }),
    expect.any(String),
  )

  await db.sql`drop trigger fail on postrider.deliveries`
  await eventually(async () => expect(await deliveries()).toHaveLength(20))
  expect(await parked()).toEqual([])
  expect(await ticketsIn('outbox')).toBe(0)
})

test('very many deliveries are created in several transactions, none of them twice or never, behind everybody else', async () => {
  const engine = await world()
  const { addEndpoint, publisher, tenantId, routeAll, db, tickets, ticketsIn } = engine
  for (let i = 0; i < 60; i++) await addEndpoint(URL, { maxInFlight: 1 })
  const events = (count: number) =>
    Array.from({ length: count }, () => ({ tenantId, type: 'invoice.paid', payload: {} }))
  await publisher.publishBatch(events(100))

  expect(await routeAll()).toEqual({ admitted: 60, backlogBegan: true, ordered: [], deferred: 59 })
  await publisher.publishBatch(events(1))
  const ordinary = await tickets.claim<OutboxTicket>('outbox', 16, { leastPriority: 1 })
  expect(await route(engine, ordinary.claims)).toMatchObject({ deferred: 0 })
  while ((await routeAll()).deferred > 0);

  const [counts] = await db.sql<[{ deliveries: number; unrouted: number }]>`
    select (select count(*)::int from postrider.deliveries) as deliveries,
      (select count(*)::int from postrider.events where routed_at is null) as unrouted`
  expect(counts).toEqual({ deliveries: 101 * 60, unrouted: 0 })
  expect(await ticketsIn('outbox')).toBe(0)
})
