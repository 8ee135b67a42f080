import fc from 'fast-check'
import { expect, test } from 'vitest'
import { deliveryIdOf, newId, publicId, type TenantId } from '../../schema/ids.ts'
import { findEvents } from '../../src/events/find.ts'
import type { Published, PublishInput } from '../../src/events/publish.ts'
import { noteFaults } from '../../src/routing/decisions.ts'
import { explainDraft, explainEvent } from '../../src/routing/explain.ts'
import { routeIntoLanes } from '../../src/routing/lanes.ts'
import { type OutboxTicket, route } from '../../src/routing/route.ts'
import { startEngine } from '../support/engine.ts'

const ENDPOINTS = 40
const URL = 'http://127.0.0.1:9/hook'

async function world() {
  const engine = await startEngine({ worker: false })
  const { tickets, tenantId, db } = engine
  /** Routes everything there is, also what is put off, and into lanes. */
  const routeAll = async (tenants = [tenantId]) => {
    for (;;) {
      const { claims } = await tickets.claim<OutboxTicket>('outbox', 16)
      if (claims.length > 0) await route(engine, claims)
      const lanes = await Promise.all(tenants.map((tenant) => routeIntoLanes(engine, tenant)))
      if (claims.length === 0 && !lanes.some(({ more }) => more)) return
    }
  }
  const newTenant = async (key: string) => {
    const id = newId<'ten'>(new Date())
    await db.sql`insert into postrider.tenants (id, key, created_at) values (${id}, ${key}, now())`
    return id
  }
  const deliveryIds = async () => new Set((await engine.deliveries()).map(({ id }) => id))
  return { ...engine, routeAll, newTenant, deliveryIds }
}

const TYPES = ['invoice.paid', 'invoice.late', 'invoice', 'user.created', 'a.b.c']
const CHANNELS = ['eu', 'us', 'vip']
const VERSIONS = ['1', '2']
const FILTERS = [
  'payload.n > 5',
  'payload.n > 5 && payload.s == "x"',
  'payload.s.startsWith("x") || payload.n < 3',
  'has(payload.deep.a) && payload.deep.a == 1',
  'payload.items.exists(i, i.qty > 1)',
  'type == "invoice.paid" && version != null',
  '"vip" in channels && tenant == "default"',
  'payload.n == payload.s',
  'payload.items.map(i, i.qty) == [1, 2]',
  'payload.s.matches("^x+$")',
  'payload.n',
  'false || payload.missing',
]

const oneOf = <T>(values: readonly T[]) => fc.constantFrom(...values)
const some = <T>(values: readonly T[]) => fc.subarray([...values], { minLength: 1 })
const absent = <T>(value: fc.Arbitrary<T>, weight = 1) =>
  fc.oneof({ weight: 1, arbitrary: value }, { weight, arbitrary: fc.constant(null) })

const wishes = fc.record({
  eventTypes: absent(some([...TYPES, 'invoice.*', 'a.*', 'user.*', '*'])),
  channels: absent(some(CHANNELS), 2),
  versions: absent(fc.dictionary(oneOf(TYPES), oneOf(VERSIONS), { minKeys: 1, maxKeys: 2, noNullPrototype: true }), 2),
  filter: absent(oneOf(FILTERS)),
  ordering: oneOf(['NONE', 'NONE', 'PER_ENDPOINT', 'PER_KEY'] as const),
  state: oneOf(['ACTIVE', 'ACTIVE', 'PAUSED'] as const),
})

const payload = fc.oneof(
  fc.record(
    {
      n: fc.oneof(
        fc.integer({ min: 0, max: 10 }),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.constant(null),
      ),
      s: fc.oneof(oneOf(['x', 'xx', 'y', '']), fc.string(), fc.integer()),
      deep: fc.oneof(fc.record({ a: oneOf([1, 2, null]) }), fc.constant('flat')),
      items: fc.array(fc.oneof(fc.record({ qty: oneOf([1, 2]) }), fc.record({ other: fc.boolean() })), {
        maxLength: 3,
      }),
    },
    { requiredKeys: [] },
  ),
  fc.jsonValue().filter((value) => (JSON.stringify(value) ?? '').isWellFormed()),
)

const event = fc.record({
  type: oneOf(TYPES),
  version: absent(oneOf(VERSIONS)),
  channels: fc.subarray(CHANNELS),
  orderingKey: absent(oneOf(['k1', 'k2'])),
  payload: payload.map((value) => JSON.stringify(value)),
})

test('what is explained of 1,000 events and 40 endpoints of four tenants is what routing then does', async () => {
  const seed = Date.now() & 0x7fffffff
  const engine = await world()
  const { addEndpoint, change, publisher, tenantId, newTenant, routeAll, deliveryIds, db } = engine
  // Of each tenant one is explained at a time.
  const tenants = [tenantId, ...(await Promise.all(['b', 'c', 'd'].map(newTenant)))]
  const wanted = fc.sample(wishes, { numRuns: ENDPOINTS, seed })
  const settings = wanted.map((wish, index) => ({ ...wish, tenantId: tenants[index % tenants.length] as TenantId }))
  await Promise.all(settings.map(async (each) => change(await addEndpoint(URL), each)))
  const refusals = new Set<string | null>()
  const drafts = fc.sample(event, { numRuns: 1000, seed: seed + 1 })
  const expected = new Set<string>()
  const published: Published['eventId'][] = []
  for (let at = 0; at < drafts.length; at += 20) {
    const inputs = drafts.slice(at, at + 20).map(({ payload, ...rest }, index): PublishInput => {
      return { ...rest, payloadJson: payload, tenantId: tenants[index % tenants.length] as TenantId }
    })
    const explained = await Promise.all(inputs.map((input) => explainDraft(engine, input, null)))
    const results = await publisher.publishBatch(inputs)
    results.forEach((result, index) => {
      const { eventId } = result as Published
      published.push(eventId)
      for (const { endpoint, refusal } of explained[index] ?? []) {
        refusals.add(refusal)
        if (refusal === null) expected.add(deliveryIdOf(eventId, endpoint.id))
      }
    })
  }
  await routeAll(tenants)
  const made = await deliveryIds()
  expect(
    [...made].filter((id) => !expected.has(id)),
    `seed ${seed}: routed, not explained`,
  ).toEqual([])
  expect(
    [...expected].filter((id) => !made.has(id as never)),
    `seed ${seed}: explained, not routed`,
  ).toEqual([])
  expect(refusals).toEqual(new Set([null, 'EVENT_TYPE', 'CHANNEL', 'VERSION', 'FILTER', 'FILTER_FAULT']))

  const known = await findEvents(db.orm, 'every', published)
  const again = known.slice(0, 100)
  const explainedAgain = await Promise.all(again.map((one) => explainEvent(engine, one, null)))
  for (const [index, explained] of explainedAgain.entries()) {
    expect(explained).toHaveLength(ENDPOINTS / tenants.length)
    for (const { refusal, delivery } of explained) expect(delivery !== null).toBe(refusal === null)
    expect(again[index]?.matched === false).toBe(explained.every(({ refusal }) => refusal !== null))
  }
}, 120_000)

test('a filter that could not be evaluated is noted once for its endpoint, unless it was changed meanwhile', async () => {
  const { addEndpoint, change, publisher, tenantId, routeAll, db } = await world()
  const id = await addEndpoint(URL)
  await change(id, { filter: 'payload.amount > 5' })
  const inputs = Array.from({ length: 20 }, (_, n) => ({
    tenantId,
    type: 'a',
    payload: n === 7 ? { amount: 9 } : { n },
  }))
  await publisher.publishBatch(inputs)
  await routeAll()
  await publisher.publishBatch(inputs.slice(0, 2))
  await routeAll()
  const faults = await db.sql`
    select count::int, message, (select count(*) from postrider.deliveries)::int as deliveries from postrider.filter_faults`
  expect(faults).toEqual([{ count: 21, message: 'Line 1, column 8: there is no field "amount".', deliveries: 1 }])

  const stale = {
    event: { id: newId<'evt'>(new Date()) },
    endpoint: { id, tenantId, filter: 'payload.old' },
    message: '',
  }
  await db.transaction((tx) => noteFaults(tx, [stale], new Date()))
  expect(await db.sql`select count::int from postrider.filter_faults`).toEqual([{ count: 21 }])
})

test('a payload that is gone makes no filter hold', async () => {
  const engine = await world()
  const { addEndpoint, change, publish, routeAll, db } = engine
  const filtered = await addEndpoint(URL)
  await change(filtered, { filter: 'payload.index == 0' })
  await addEndpoint(URL)
  await change(await addEndpoint(URL), { filter: 'tenant == "default"' })
  const [id] = await publish(1)
  await routeAll()
  await db.sql`delete from postrider.event_payloads`
  const [event] = await findEvents(db.orm, 'every', [id as never])
  const explained = await explainEvent(engine, event as never, null)
  expect(explained.map(({ refusal, fault, delivery }) => ({ refusal, fault, has: delivery !== null }))).toEqual([
    { refusal: 'FILTER_FAULT', fault: 'The payload of this event is gone: no filter can be asked.', has: true },
    { refusal: null, fault: null, has: true },
    // What does not ask for the payload is told as ever.
    { refusal: null, fault: null, has: true },
  ])
})

test('a tenant whose filters take very many steps has the rest of its events put off', async () => {
  const engine = await world()
  const { addEndpoint, change, publisher, tenantId, tickets, db, deliveryIds, newTenant, routeAll } = engine
  for (let n = 0; n < 5; n++) {
    await change(await addEndpoint(URL), { filter: `payload.list.exists(x, payload.list.exists(y, x + ${n}.0 == -y))` })
  }
  await addEndpoint(URL)
  const other = await newTenant('other')
  // Filtered as well: what has no filter is never put off for another one's.
  await change(await addEndpoint(URL), { tenantId: other, filter: 'payload == 1' })
  const list = Array.from({ length: 300 }, (_, index) => index + 1)
  await publisher.publishBatch([
    ...Array.from({ length: 10 }, () => ({ tenantId, type: 'a', payload: { list } })),
    { tenantId: other, type: 'a', payload: 1 },
  ])
  const { claims } = await tickets.claim<OutboxTicket>('outbox', 16)
  const { deferred, admitted } = await route(engine, claims)
  expect(deferred).toBeGreaterThan(0)
  expect(deferred).toBeLessThan(10)
  expect(admitted).toBe(10 - deferred + 1)
  expect(await db.sql`select from postrider.deliveries where tenant_id = ${other}`).toHaveLength(1)
  await routeAll()
  expect((await deliveryIds()).size).toBe(11)
})

test('named endpoints alone are explained, and foreign ones are not there', async () => {
  const engine = await world()
  const { addEndpoint, tenantId } = engine
  const [mine, another] = [await addEndpoint(URL), await addEndpoint(URL)]
  const input = { tenantId, type: 'a', payload: 1 }
  const foreign = publicId('ep', newId<'ep'>(new Date()))
  const explained = await explainDraft(engine, input, [publicId('ep', another), foreign])
  expect(explained.map(({ endpoint }) => endpoint.id)).toEqual([another])
  expect(await explainDraft(engine, input, null)).toHaveLength([mine, another].length)
})

test('of more endpoints than are explained at once none is left out silently: some have to be named', async () => {
  const engine = await world()
  const { addEndpoint, tenantId, db } = engine
  const first = await addEndpoint(URL)
  const copy = (count: number) => db.sql`
    insert into postrider.endpoints (id, tenant_id, url, timeout_seconds, max_in_flight, created_at, updated_at)
    select gen_random_uuid(), tenant_id, url, timeout_seconds, max_in_flight, created_at, updated_at
    from postrider.endpoints, generate_series(1, ${count}) where id = ${first}`
  const input = { tenantId, type: 'a', payload: 1 }
  await copy(499)
  expect(await explainDraft(engine, input, null)).toHaveLength(500)
  await copy(1)
  const tooMany = { code: 'INVALID_INPUT', path: ['endpointIds'] }
  await expect(explainDraft(engine, input, null)).rejects.toMatchObject(tooMany)
  expect(await explainDraft(engine, input, [publicId('ep', first)])).toHaveLength(1)
})
