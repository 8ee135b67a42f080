import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { EndpointId } from '../../schema/ids.ts'
import type { DeliverTicket } from '../../src/deliveries/admit.ts'
import { hold } from '../../src/deliveries/hold.ts'
import { prepare } from '../../src/deliveries/prepare.ts'
import { promote } from '../../src/deliveries/promoter.ts'
import { send } from '../../src/deliveries/send.ts'
import { settle } from '../../src/deliveries/settle.ts'
import { notSent } from '../../src/egress/request.ts'
import { silentLog } from '../../src/log.ts'
import type { Db } from '../../src/postgres/client.ts'
import { routeIntoLanes } from '../../src/routing/lanes.ts'
import { type OutboxTicket, route } from '../../src/routing/route.ts'
import { type Engine, movableClock, startEngine } from '../support/engine.ts'

/** What can happen to an engine that is driven by hand: one thing after another, each a transaction of the real one. */
type Step =
  | { kind: 'publish'; events: number; key: string | null }
  | { kind: 'work'; claims: number; statuses: number[] }
  | { kind: 'die'; claims: number }
  | { kind: 'promote'; crashesAt: number | null }
  | { kind: 'state'; endpoint: number; state: 'ACTIVE' | 'PAUSED' }
  | { kind: 'cap'; endpoint: number; maxInFlight: number }
  | { kind: 'time'; ms: number }
  | { kind: 'retry' | 'cancel'; delivery: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('publish' as const),
      events: fc.integer({ min: 1, max: 6 }),
      key: fc.constantFrom(null, 'a', 'b'),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('work' as const),
      claims: fc.constantFrom(1, 4, 16),
      statuses: fc.array(fc.constantFrom(200, 200, 200, 200, 500, 500, 500, 429, 410), { minLength: 1, maxLength: 5 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('die' as const), claims: fc.constantFrom(1, 4) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('promote' as const), crashesAt: fc.constantFrom(null, 1, 2, 3) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('state' as const),
      endpoint: fc.nat(2),
      state: fc.constantFrom('ACTIVE' as const, 'PAUSED' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('cap' as const),
      endpoint: fc.nat(2),
      maxInFlight: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.constantFrom(500, 1500, 4000) }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constantFrom('retry' as const, 'cancel' as const), delivery: fc.nat(15) }),
  },
)

test('whatever happens: nobody has more than its allowance, no ticket is lost, and who may go soon has one', async () => {
  const clock = movableClock()
  const engine = await startEngine({ worker: false, clock })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 25 }), async (steps) => {
      await engine.db
        .sql`truncate postrider.deliveries, postrider.endpoints, postrider.lanes, postrider.lane_outbox cascade`
      await engine.db.sql`delete from postrider_queue.job where name in ('deliver', 'retry', 'outbox')`
      const endpoints = await makeEndpoints(engine)
      const counts = new Map<EndpointId, number>()
      for (const one of steps) {
        await take(engine, clock, endpoints, one)
        await checkTickets(engine, counts)
      }
      await everybodyActive(engine, endpoints)
      clock.forward(1500)
      await promote({ ...engine, log: silentLog })
      await checkTickets(engine, counts)
      await checkNobodyIsForgotten(engine)
    }),
    { numRuns: 40 },
  )
}, 60_000)

async function makeEndpoints(engine: Engine): Promise<EndpointId[]> {
  const url = 'http://127.0.0.1:1/'
  const retryPolicy = { delaysSeconds: [1, 2] }
  const ids = [
    await engine.addEndpoint(url, { maxInFlight: 2, retryPolicy }),
    await engine.addEndpoint(url, { maxInFlight: 3, retryPolicy }),
    await engine.addEndpoint(url, { maxInFlight: 2, retryPolicy }),
  ]
  await engine.change(ids[1] as EndpointId, { ordering: 'PER_KEY', onBlocked: 'SKIP_AFTER_FAILED' })
  await engine.change(ids[2] as EndpointId, { ratePerSecond: 5 })
  return ids
}

async function take(
  engine: Engine,
  clock: ReturnType<typeof movableClock>,
  endpoints: readonly EndpointId[],
  one: Step,
): Promise<void> {
  switch (one.kind) {
    case 'publish':
      for (let n = 0; n < one.events; n++) {
        await engine.publisher.publish({ tenantId: engine.tenantId, type: 'a', payload: n, orderingKey: one.key })
      }
      await route(engine, (await engine.tickets.claim<OutboxTicket>('outbox', 16)).claims)
      while ((await routeIntoLanes(engine, engine.tenantId)).more);
      return
    case 'work':
      return work(engine, one.claims, one.statuses)
    case 'die':
      await engine.tickets.claim('deliver', one.claims)
      // What supervision does when the claims have lapsed.
      await engine.db.sql`update postrider_queue.job set state = 'retry', start_after = now() where state = 'active'`
      return
    case 'promote':
      await promote({ ...engine, log: silentLog, db: crashing(engine.db, one.crashesAt) }).catch((error: Error) => {
        if (error.message !== 'crashed') throw error
      })
      return
    case 'state':
      await engine.change(endpoints[one.endpoint] as EndpointId, {
        state: one.state,
        disabledReason: null,
        disabledAt: null,
        ...(one.state === 'ACTIVE' ? { backlog: true } : {}),
      })
      return
    case 'cap':
      await engine.change(endpoints[one.endpoint] as EndpointId, { maxInFlight: one.maxInFlight })
      return
    case 'time':
      clock.forward(one.ms)
      return
    default: {
      const pending = (await engine.deliveries()).filter(({ state }) => state === 'PENDING')
      const delivery = pending[one.delivery % Math.max(1, pending.length)]
      if (delivery === undefined) return
      const asked = engine.redeliverer[one.kind](engine.viewer, delivery.id)
      await asked.catch((error: Error) => expect(error.name).toBe('Mistake'))
    }
  }
}

/** Claims, sends and settles as the dispatcher does, with these answers in turn. */
async function work(engine: Engine, most: number, statuses: readonly number[]): Promise<void> {
  const { claims } = await engine.tickets.claim<DeliverTicket>('deliver', most)
  if (claims.length === 0) return
  const batch = await prepare(engine.db.sql, engine.sealer, engine.clock, claims)
  let n = 0
  const answer = { ...notSent({ errorClass: 'INTERNAL', message: '' }), failure: null, bodyBytes: 0 }
  const egress = {
    send: async () => ({ ...answer, status: statuses[n++ % statuses.length] as number }),
    close: async () => {},
  }
  const results = await Promise.all(batch.ready.map((prepared) => send({ ...engine, egress }, prepared)))
  await settle(engine, results)
  await hold(engine, batch)
}

/** A database whose `at`-th transaction is lost at the last moment. */
function crashing(db: Db, at: number | null): Db {
  let count = 0
  return {
    ...db,
    transaction: (run) =>
      db.transaction(async (tx) => {
        const result = await run(tx)
        if (++count === at) throw new Error('crashed')
        return result
      }),
  }
}

/** `counts`: how many tickets each endpoint had before; a cap that was lowered does not take tickets back. */
async function checkTickets(engine: Engine, counts: Map<EndpointId, number>): Promise<void> {
  const rows = await engine.db.sql<{ id: EndpointId; cap: number; ticketed: number }[]>`
    select id, least(max_in_flight, allowance) as cap,
      (select count(*)::int from postrider.deliveries where endpoint_id = endpoint.id and ticket_id is not null) as ticketed
    from postrider.endpoints endpoint`
  for (const { id, cap, ticketed } of rows) {
    expect(ticketed).toBeLessThanOrEqual(Math.max(cap, counts.get(id) ?? 0))
    counts.set(id, ticketed)
  }
  const lost = await engine.db.sql`
    select id from postrider.deliveries where ticket_id is not null and not exists (
      select from postrider_queue.job where name = 'deliver' and job.id = ticket_id and state in ('created', 'retry', 'active')
    )`
  expect(lost).toEqual([])
  const twice = await engine.db.sql`
    select lane from postrider.deliveries
    where lane is not null and (ticket_id is not null or waiting_for in ('REQUESTED', 'ALLOWANCE', 'RETRY_ALLOWANCE', 'REPLAY', 'RETRY')) and state = 'PENDING'
    group by endpoint_id, lane having count(*) > 1`
  expect(twice).toEqual([])
}

async function everybodyActive(engine: Engine, endpoints: readonly EndpointId[]): Promise<void> {
  for (const id of endpoints) {
    // Those that are active have to be found without being pointed at.
    if ((await engine.endpoint(id)).state === 'ACTIVE') continue
    await engine.change(id, { state: 'ACTIVE', disabledReason: null, disabledAt: null, backlog: true })
  }
}

/** Whoever waits for room waits because there is none; nobody's time has passed, and every lane has somebody at its head. */
async function checkNobodyIsForgotten(engine: Engine): Promise<void> {
  const idle = await engine.db.sql`
    select endpoint.id, endpoint.rate_per_second from postrider.endpoints endpoint where rate_per_second is null
      and exists (select from postrider.deliveries where endpoint_id = endpoint.id and waiting_for in ('REQUESTED', 'ALLOWANCE', 'RETRY_ALLOWANCE', 'REPLAY'))
      and (select count(*) from postrider.deliveries where endpoint_id = endpoint.id and ticket_id is not null)
        < least(max_in_flight, allowance)`
  expect(idle).toEqual([])
  const overdue = await engine.db.sql`
    select id from postrider.deliveries where waiting_for = 'RETRY' and next_attempt_at <= ${engine.clock.now().toISOString()}::timestamptz - interval '1 second'`
  expect(overdue).toEqual([])
  const headless = await engine.db.sql`
    select lane, endpoint_id from postrider.deliveries behind where waiting_for = 'ORDER' and not exists (
      select from postrider.lanes join postrider.deliveries head on head.id = lanes.head
      where lanes.endpoint_id = behind.endpoint_id and lanes.lane = behind.lane and head.state = 'PENDING'
    )`
  expect(headless).toEqual([])
}
