import { expect, test, vi } from 'vitest'
import { updateEndpoint } from '../../src/endpoints/save.ts'
import { silentLog } from '../../src/log.ts'
import { routeIntoLanes } from '../../src/routing/lanes.ts'
import { type OutboxTicket, route } from '../../src/routing/route.ts'
import { receiverOf } from '../egress/world.ts'
import { startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

test('an event that cannot be put into its lane holds up none of the others, and goes when it can', async () => {
  const receiver = await receiverOf()
  const log = { ...silentLog, error: vi.fn() }
  const engine = await startEngine({ log })
  const { tenantId, publisher, db } = engine
  const id = await engine.addEndpoint(receiver.url)
  await engine.change(id, { ordering: 'PER_ENDPOINT' })
  await db.sql.unsafe(`
    create function public.fail() returns trigger language plpgsql as $$
      begin if new.event_type = 'poison' then raise exception 'on purpose'; end if; return new; end $$;
    create trigger fail before insert on postrider.deliveries for each row execute function public.fail();`)
  const publish = (type: string) => publisher.publish({ tenantId, type, payload: {} })
  const inOrder = async () =>
    (await engine.deliveries(id))
      .filter(({ state }) => state === 'DELIVERED')
      .toSorted((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0))
      .map(({ eventType }) => eventType)

  await publisher.publishBatch(['a', 'poison', 'b', 'c'].map((type) => ({ tenantId, type, payload: {} })))
  await eventually(async () => expect(await inOrder()).toEqual(['a', 'b', 'c']))
  await publish('d')
  await eventually(async () => expect(await inOrder()).toEqual(['a', 'b', 'c', 'd']))
  expect(log.error).toHaveBeenCalledWith(
    expect.objectContaining({ event: expect.any(String) }),
    'An event could not be put into its lanes; trying again',
  )

  await db.sql`drop trigger fail on postrider.deliveries`
  await publish('e')
  await eventually(async () => expect((await inOrder()).toSorted()).toEqual(['a', 'b', 'c', 'd', 'e', 'poison']))
})

test.each(['NONE', 'PER_KEY'] as const)(
  'an endpoint that becomes %s loses nothing that was left to its lane',
  async (ordering) => {
    const receiver = await receiverOf()
    const engine = await startEngine({ worker: false })
    const id = await engine.addEndpoint(receiver.url)
    await engine.change(id, { ordering: 'PER_ENDPOINT' })
    await engine.publish(3)
    // Routed, and not yet in the lane.
    await route(engine, (await engine.tickets.claim<OutboxTicket>('outbox', 16)).claims)
    expect(await engine.deliveries()).toEqual([])
    await updateEndpoint(engine, engine.viewer, id, { ordering })
    await startEngine({ address: engine.address })
    await receiver.waitForRequests(3)
    await eventually(async () => {
      const rows = await engine.deliveries()
      expect(rows.map(({ state, lane }) => [state, lane])).toEqual(Array(3).fill(['DELIVERED', null]))
    })
  },
)

test('very many deliveries in lanes are created in several transactions, in order', async () => {
  const engine = await startEngine({ worker: false })
  for (let n = 0; n < 30; n++) {
    const id = await engine.addEndpoint('http://127.0.0.1:9/hook', { maxInFlight: 1 })
    await engine.change(id, { ordering: 'PER_ENDPOINT' })
  }
  await engine.publish(200)
  await route(engine, (await engine.tickets.claim<OutboxTicket>('outbox', 256)).claims)
  const reports = []
  do reports.push(await routeIntoLanes(engine, engine.tenantId))
  while (reports.at(-1)?.more)
  expect(reports.length).toBeGreaterThanOrEqual(3)
  const rows = await engine.deliveries()
  expect(rows).toHaveLength(6000)
  const lanes = Map.groupBy(rows, ({ endpointId }) => endpointId)
  for (const lane of lanes.values()) {
    const inOrder = lane.toSorted((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0))
    expect(inOrder.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 200 }, (_, n) => n + 1))
    expect(inOrder.map(({ eventId }) => eventId)).toEqual(inOrder.map(({ eventId }) => eventId).toSorted())
  }
})

test.each([
  ['by routing and then not by its lane', 'route', { eventTypes: null }, { eventTypes: ['other'] }],
  ['by its lane and then not by routing', 'lane', { eventTypes: null }, { eventTypes: ['other'] }],
  ['by its lane and not before by routing', 'route', { eventTypes: ['other'] }, { eventTypes: null }],
  ['by routing and not before by its lane', 'lane', { eventTypes: ['other'] }, { eventTypes: null }],
] as const)('an event that was wanted %s has matched', async (_, first, before, after) => {
  const engine = await startEngine({ worker: false })
  const id = await engine.addEndpoint('http://127.0.0.1:9/hook')
  const want = ({ eventTypes }: { eventTypes: readonly string[] | null }) =>
    engine.change(id, { ordering: 'PER_ENDPOINT', eventTypes: eventTypes && [...eventTypes] })
  await want(before)
  await engine.publish()
  const { claims } = await engine.tickets.claim<OutboxTicket>('outbox', 16)
  const steps = [() => route(engine, claims), () => routeIntoLanes(engine, engine.tenantId)]
  if (first === 'lane') steps.reverse()
  await steps[0]?.()
  await want(after)
  await steps[1]?.()
  const [event] = await engine.db
    .sql`select matched is not false as matched, routed_at is not null as routed from postrider.events`
  expect(event).toEqual({ matched: true, routed: true })
})
