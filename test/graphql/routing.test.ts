import { expect, test } from 'vitest'
import { type EventId, newId, parsePublicId, publicId } from '../../schema/ids.ts'
import { expungeEvent } from '../../src/retention/expunge.ts'
import { type OutboxTicket, route } from '../../src/routing/route.ts'
import { routeAgain } from '../../src/routing/route-again.ts'
import { eventually } from '../support/eventually.ts'
import { startApi } from './api.ts'

const CREATE = `mutation ($input: EndpointCreateInput!) {
  endpointCreate(input: $input) {
    endpoint { id channels filter versions { eventType version } filterFault { count } } userErrors { code path message }
  }
}`
const UPDATE = `mutation ($id: ID!, $input: EndpointUpdateInput!) {
  endpointUpdate(id: $id, input: $input) {
    endpoint { channels filter versions { eventType version } filterFault { count } } userErrors { code path message }
  }
}`
const PUBLISH =
  'mutation ($input: EventPublishInput!) { eventPublish(input: $input) { event { id } userErrors { code path } } }'
const DECISION =
  'endpoint { id state } matches refusal fault filterPart { text line column } delivery { id event { id } }'
const ROUTE = `mutation ($id: ID!) {
  eventRoute(id: $id) { event { id matched } deliveriesCreated userErrors { code path message } }
}`

async function world() {
  const api = await startApi()
  const create = async (input: object = {}) => {
    const { endpointCreate } = await api.ask(CREATE, { input: { url: 'https://example.com/hook', ...input } })
    expect(endpointCreate?.userErrors).toEqual([])
    return endpointCreate?.endpoint?.id as unknown as string
  }
  const publish = async (input: object = {}) => {
    const { eventPublish } = await api.ask(PUBLISH, {
      input: { type: 'invoice.paid', payload: { amount: 5 }, ...input },
    })
    expect(eventPublish?.userErrors).toEqual([])
    return eventPublish?.event?.id as unknown as string
  }
  const routeAll = async () => route(api, (await api.tickets.claim<OutboxTicket>('outbox', 16)).claims)
  return { ...api, create, publish, routeAll }
}

test('channels, filter and versions are set, read, changed and taken back', async () => {
  const { ask, create } = await world()
  const settings = {
    channels: ['eu', 'vip', 'eu'],
    filter: 'payload.amount > 100',
    versions: [{ eventType: 'invoice.paid', version: '2' }],
  }
  const id = await create(settings)
  const read =
    'query ($id: ID!) { endpoint(id: $id) { channels filter versions { eventType version } filterFault { count } } }'
  expect(await ask(read, { id })).toEqual({ endpoint: { ...settings, channels: ['eu', 'vip'], filterFault: null } })
  const none = { channels: null, filter: null, versions: null }
  expect(await ask(UPDATE, { id, input: none })).toEqual({
    endpointUpdate: { endpoint: { ...none, filterFault: null }, userErrors: [] },
  })
})

const REFUSED: [object, string, string[]][] = [
  [{ filter: 'payload.amount >' }, 'INVALID_FILTER', ['input', 'filter']],
  [{ filter: '' }, 'INVALID_FILTER', ['input', 'filter']],
  [{ channels: [] }, 'INVALID_INPUT', ['input', 'channels']],
  [{ channels: ['eu', 'a b'] }, 'INVALID_INPUT', ['input', 'channels', '1']],
  [{ versions: [] }, 'INVALID_INPUT', ['input', 'versions']],
  [{ versions: [{ eventType: 'invoice.*', version: '1' }] }, 'INVALID_INPUT', ['input', 'versions', '0', 'eventType']],
  [{ versions: [{ eventType: 'a', version: '' }] }, 'INVALID_INPUT', ['input', 'versions', '0', 'version']],
  [
    { versions: ['1', '2'].map((version) => ({ eventType: 'a', version })) },
    'INVALID_INPUT',
    ['input', 'versions', '1', 'eventType'],
  ],
]

test('settings of which nothing good can come are refused at their place', async () => {
  const { ask } = await world()
  for (const [settings, code, path] of REFUSED) {
    const { endpointCreate } = await ask(CREATE, { input: { url: 'https://example.com/hook', ...settings } })
    expect(endpointCreate?.userErrors, JSON.stringify(settings)).toMatchObject([{ code, path }])
  }
})

test('a draft is explained for each endpoint, with the part of the filter that said no', async () => {
  const { ask, create, db } = await world()
  const ids = [
    await create(),
    await create({ eventTypes: ['user.*'] }),
    await create({ channels: ['us'] }),
    await create({ versions: [{ eventType: 'invoice.paid', version: '2' }] }),
    await create({ filter: 'type == "invoice.paid" &&\n  payload.amount > 100' }),
    await create({ filter: 'payload.total > 100' }),
  ]
  await ask('mutation ($id: ID!) { endpointPause(id: $id) { userErrors { code } } }', { id: ids[0] })
  const event = { type: 'invoice.paid', payload: { amount: 5 }, channels: ['eu'] }
  const explain = `query ($event: EventPublishInput!) { routingExplain(event: $event) { ${DECISION} } }`
  const { routingExplain } = await ask(explain, { event })
  const nothing = { matches: false, fault: null, filterPart: null, delivery: null }
  expect(routingExplain).toEqual([
    { ...nothing, endpoint: { id: ids[0], state: 'PAUSED' }, matches: true, refusal: null },
    ...['EVENT_TYPE', 'CHANNEL', 'VERSION'].map((refusal, index) => ({
      ...nothing,
      endpoint: { id: ids[index + 1], state: 'ACTIVE' },
      refusal,
    })),
    {
      ...nothing,
      endpoint: { id: ids[4], state: 'ACTIVE' },
      refusal: 'FILTER',
      filterPart: { text: 'payload.amount > 100', line: 2, column: 3 },
    },
    {
      ...nothing,
      endpoint: { id: ids[5], state: 'ACTIVE' },
      refusal: 'FILTER_FAULT',
      fault: 'Line 1, column 8: there is no field "total".',
      filterPart: { text: 'payload.total > 100', line: 1, column: 1 },
    },
  ])
  expect(await db.sql`select from postrider.events`).toHaveLength(0)
})

test('a draft that would not be published is refused', async () => {
  const { send } = await world()
  const explain = 'query ($event: EventPublishInput!) { routingExplain(event: $event) { matches } }'
  for (const [event, code, path] of [
    [{ type: 'a b', payload: 1 }, 'INVALID_INPUT', ['event', 'type']],
    [{ type: 'a', payloadJson: '{' }, 'INVALID_PAYLOAD', ['event', 'payloadJson']],
    [{ type: 'endpoint.disabled', payload: 1 }, 'RESERVED_EVENT_TYPE', ['event', 'type']],
    [{ type: 'a', payload: 1, tenant: 'nobody' }, 'NOT_FOUND', ['event', 'tenant']],
    [{ type: 'a', payload: 1, channels: ['a b'] }, 'INVALID_INPUT', ['event', 'channels', '0']],
  ] as const) {
    expect((await send(explain, { event })).errors).toMatchObject([{ extensions: { code, path } }])
  }
})

test('an event that nobody wanted is found, explained, and routed again when its endpoint is mended', async () => {
  const { ask, create, publish, routeAll, ticketsIn } = await world()
  const id = await create({ filter: 'payload.total > 1' })
  const wanted = await create({ channels: ['vip'] })
  const event = await publish()
  const unmatched = '{ events(filter: { matched: false }) { nodes { id matched } } }'
  const nodes = async (document: string) => (await ask(document)).events?.nodes
  expect(await ask('query ($id: ID!) { event(id: $id) { matched channels } }', { id: event })).toEqual({
    event: { matched: null, channels: [] },
  })
  expect(await nodes(unmatched)).toEqual([])
  await publish({ channels: ['vip'] })
  await routeAll()
  expect(await nodes(unmatched)).toEqual([{ id: event, matched: false }])
  expect(await nodes('{ events(filter: { matched: true }) { nodes { matched channels } } }')).toEqual([
    { matched: true, channels: ['vip'] },
  ])

  const why = `query ($id: ID!) { event(id: $id) { routing { ${DECISION} } } }`
  const routing = async () => (await ask(why, { id: event })).event?.routing
  expect(await routing()).toMatchObject([
    { endpoint: { id }, refusal: 'FILTER_FAULT', delivery: null },
    { endpoint: { id: wanted }, refusal: 'CHANNEL', delivery: null },
  ])
  const faults = `query ($id: ID!) { endpoint(id: $id) { filterFault { count message event { id } } } }`
  expect(await ask(faults, { id })).toMatchObject({
    endpoint: { filterFault: { count: 2, message: 'Line 1, column 8: there is no field "total".' } },
  })

  const { endpointUpdate } = await ask(UPDATE, { id, input: { filter: 'payload.amount > 1' } })
  expect(endpointUpdate?.endpoint).toMatchObject({ filterFault: null })
  const routed = (deliveriesCreated: number) => ({
    eventRoute: { event: { id: event, matched: true }, deliveriesCreated, userErrors: [] },
  })
  const before = await ticketsIn('deliver')
  expect(await ask(ROUTE, { id: event })).toEqual(routed(1))
  expect(await ticketsIn('deliver')).toBe(before + 1)
  expect(await ask(ROUTE, { id: event })).toEqual(routed(0))
  expect(await nodes(unmatched)).toEqual([])
  expect(await routing()).toMatchObject([{ refusal: null, delivery: { event: { id: event } } }, { delivery: null }])
})

test('what cannot be routed again says why', async () => {
  const { ask, create, publish, routeAll, newKey, newTenant } = await world()
  const id = await create()
  const fresh = await publish()
  const refusal = async (event: string, key?: string) =>
    (await ask(ROUTE, { id: event }, key)).eventRoute?.userErrors as unknown as object[]
  expect(await refusal(fresh)).toMatchObject([
    { code: 'INVALID_INPUT', path: ['id'], message: expect.stringContaining('still to be routed') },
  ])
  await routeAll()
  const key = await newKey({ tenantId: await newTenant('acme'), scopes: ['MANAGE'] })
  for (const unknown of [await refusal(fresh, key), await refusal(publicId('evt', newId(new Date())))])
    expect(unknown).toMatchObject([{ code: 'NOT_FOUND', path: ['id'] }])
  await ask('mutation ($id: ID!) { eventExpunge(id: $id) { userErrors { code } } }', { id: fresh })
  expect(await refusal(fresh)).toMatchObject([{ code: 'PAYLOAD_GONE', path: ['id'] }])
  const { endpointTest } = await ask('mutation ($id: ID!) { endpointTest(id: $id) { delivery { event { id } } } }', {
    id,
  })
  const test = endpointTest?.delivery?.event?.id as unknown as string
  expect(await refusal(test)).toMatchObject([
    { code: 'INVALID_INPUT', message: expect.stringContaining('A test goes') },
  ])
  const { event } = await ask(`query ($id: ID!) { event(id: $id) { matched routing { ${DECISION} } } }`, { id: test })
  expect(event).toMatchObject({
    matched: true,
    routing: [{ refusal: 'TEST_EVENT', delivery: { id: expect.any(String) } }],
  })
})

test('an event that was expunged before it was routed is neither among those that matched nor among the others', async () => {
  const { ask, create, publish, routeAll } = await world()
  await create()
  const [gone, kept] = [await publish(), await publish()]
  await ask('mutation ($id: ID!) { eventExpunge(id: $id) { userErrors { code } } }', { id: gone })
  await routeAll()
  await ask('mutation ($id: ID!) { eventExpunge(id: $id) { userErrors { code } } }', { id: kept })
  const listed = async (filter: string) => (await ask(`{ events${filter} { nodes { id matched } } }`)).events?.nodes
  expect(await listed('(filter: { matched: true })')).toEqual([{ id: kept, matched: true }])
  expect(await listed('(filter: { matched: false })')).toEqual([])
  expect(await listed('')).toEqual([
    { id: kept, matched: true },
    { id: gone, matched: null },
  ])
})

test('an event that is being expunged at that very moment is not routed again', async () => {
  const engine = await world()
  const { create, publish, routeAll, deliveries, db, admin } = engine
  await create()
  const id = parsePublicId('evt', await publish()) as EventId
  await routeAll()
  await create()
  const waiting = (count: number) =>
    eventually(async () => {
      const rows = await db.sql`
        select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
      expect(rows).toHaveLength(count)
    })
  let ends: Promise<unknown>[] = []
  await db.transaction(async (tx) => {
    // Expunging has locked the event and waits for this.
    await tx`select from postrider.endpoints for update`
    const expunging = expungeEvent(engine, admin, id)
    await waiting(1)
    const routing = routeAgain(engine, admin, id).catch((error) => error)
    ends = [routing, expunging]
    await Promise.race([routing, waiting(2)])
  })
  const [answer] = await Promise.all(ends)
  expect(answer).toMatchObject({ code: 'PAYLOAD_GONE' })
  expect(await deliveries()).toMatchObject([{ state: 'CANCELLED' }])
})

test('an event that is routed late goes in no lane, and one that waits for its lane only there', async () => {
  const { ask, create, publish, routeAll, deliveries } = await world()
  const early = await publish()
  await routeAll()
  await create({ ordering: 'PER_ENDPOINT' })
  expect((await ask(ROUTE, { id: early })).eventRoute).toMatchObject({ deliveriesCreated: 1 })
  expect(await deliveries()).toMatchObject([{ lane: null, sequence: null }])
  const waiting = await publish()
  await routeAll()
  expect((await ask(ROUTE, { id: waiting })).eventRoute).toMatchObject({ deliveriesCreated: 0 })
  expect(await deliveries()).toHaveLength(1)
})
