import { expect, test } from 'vitest'
import { startApi } from './api.ts'

const PUBLISH = `mutation ($input: EventPublishInput!) {
  eventPublish(input: $input) {
    event { id type version payload payloadJson occurredAt acceptedAt routedAt tenant { key } deliveries { nodes { id } } }
    duplicate
    userErrors { code path message }
  }
}`

test('an event is published and read again', async () => {
  const { ask } = await startApi()
  const input = {
    type: 'invoice.paid',
    payload: { a: [1, 'x', null, true] },
    version: 'v1',
    occurredAt: '2026-01-02T03:04:05+01:00',
  }
  const { eventPublish } = await ask(PUBLISH, { input })
  expect(eventPublish).toEqual({
    event: {
      id: expect.stringMatching(/^evt_/),
      ...input,
      occurredAt: '2026-01-02T02:04:05.000Z',
      payloadJson: '{"a":[1,"x",null,true]}',
      acceptedAt: expect.any(String),
      routedAt: null,
      tenant: { key: 'default' },
      deliveries: { nodes: [] },
    },
    duplicate: false,
    userErrors: [],
  })
})

test.each([
  ['9007199254740993', ['payload']],
  ['{"a":[{"b":1e400}]}', ['payload', 'a', '0', 'b']],
  ['{"a":0.1000000000000000055511151231257827}', ['payload', 'a']],
])('the number in %s would change: refused in a variable and in a literal, kept in payloadJson', async (json, path) => {
  const { url, adminKey, ask } = await startApi()
  const post = async (body: string) => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${adminKey}` }
    const response = await fetch(url, { method: 'POST', headers, body })
    return ((await response.json()) as { data: { eventPublish: unknown } }).data.eventPublish
  }
  const refused = {
    event: null,
    duplicate: null,
    userErrors: [{ code: 'NUMBER_WOULD_CHANGE', path: ['input', ...path] }],
  }
  const query = JSON.stringify(PUBLISH)
  expect(await post(`{"query":${query},"variables":{"input":{"type":"a","payload":${json}}}}`)).toMatchObject(refused)

  const literal = PUBLISH.replace('($input: EventPublishInput!)', '').replace(
    'input: $input',
    `input: { type: "a", payload: ${json.replace(/"(\w)":/g, '$1:')} }`,
  )
  expect(await post(JSON.stringify({ query: literal }))).toMatchObject(refused)

  const { eventPublish } = await ask(PUBLISH, { input: { type: 'a', payloadJson: json } })
  expect(eventPublish).toMatchObject({ event: { payloadJson: json }, userErrors: [] })
})

test('a literal payload is what it says, whatever its keys are called', async () => {
  const { ask } = await startApi()
  const document = `mutation ($part: JSON) {
    eventPublish(input: { type: "a", payload: { __proto__: { x: 1 }, constructor: "c", n: null, f: 1.50, list: [$part, "s"], b: false } }) { event { payloadJson } userErrors { code } }
  }`
  const { eventPublish } = await ask(document, { part: { deep: [1] } })
  expect(eventPublish?.event?.payloadJson).toBe(
    '{"__proto__":{"x":1},"constructor":"c","n":null,"f":1.5,"list":[{"deep":[1]},"s"],"b":false}',
  )
})

test('a payload of null is a payload; none at all is a mistake', async () => {
  const { ask } = await startApi()
  expect((await ask(PUBLISH, { input: { type: 'a', payload: null } })).eventPublish).toMatchObject({
    event: { payloadJson: 'null' },
  })
  expect((await ask(PUBLISH, { input: { type: 'a' } })).eventPublish).toMatchObject({
    userErrors: [{ code: 'INVALID_INPUT', path: ['input', 'payload'] }],
  })
  expect((await ask(PUBLISH, { input: { type: 'delivery.failed', payload: 1 } })).eventPublish).toMatchObject({
    userErrors: [{ code: 'RESERVED_EVENT_TYPE', path: ['input', 'type'] }],
  })
})

test('each event of a batch succeeds or fails for itself, at its own place', async () => {
  const { ask, newTenant } = await startApi()
  await newTenant('acme')
  const events = [
    { type: 'a', payload: 1 },
    { type: 'a', payload: 1, tenant: 'nobody' },
    { type: 'not ok', payload: 1 },
    { type: 'b', payload: 2, tenant: 'acme', idempotencyKey: 'k' },
    { type: 'b', payload: 3, tenant: 'acme', idempotencyKey: 'k' },
  ]
  const document = `mutation ($events: [EventPublishInput!]!) {
    eventPublishBatch(events: $events) { results { event { type tenant { key } } duplicate userErrors { code path } } userErrors { code path } }
  }`
  expect((await ask(document, { events })).eventPublishBatch).toEqual({
    results: [
      { event: { type: 'a', tenant: { key: 'default' } }, duplicate: false, userErrors: [] },
      { event: null, duplicate: null, userErrors: [{ code: 'NOT_FOUND', path: ['events', '1', 'tenant'] }] },
      { event: null, duplicate: null, userErrors: [{ code: 'INVALID_INPUT', path: ['events', '2', 'type'] }] },
      { event: { type: 'b', tenant: { key: 'acme' } }, duplicate: false, userErrors: [] },
      {
        event: null,
        duplicate: null,
        userErrors: [{ code: 'IDEMPOTENCY_CONFLICT', path: ['events', '4', 'idempotencyKey'] }],
      },
    ],
    userErrors: [],
  })
  const tooMany = Array.from({ length: 501 }, () => ({ type: 'a', payload: 1 }))
  expect((await ask(document, { events: tooMany })).eventPublishBatch).toEqual({
    results: [],
    userErrors: [{ code: 'INVALID_INPUT', path: ['events'] }],
  })
})

test('events are listed newest first, page by page, in both directions', async () => {
  const { ask, send } = await startApi()
  const types = ['invoice.paid', 'invoice.paid.late', 'invoice', 'other', 'in_oice.x', 'invoice.sent']
  for (const type of types) await ask(PUBLISH, { input: { type, payload: 1 } })
  const LIST = `query ($filter: EventFilter, $first: Int, $after: String, $last: Int, $before: String) {
    events(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
      nodes { type } edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }`
  const list = async (variables: object) => {
    const { events } = await ask<{ events: { nodes: { type: string }[]; pageInfo: Record<string, string> } }>(
      LIST,
      variables,
    )
    return { types: events.nodes.map((node) => node.type), ...events.pageInfo }
  }
  const newest = [...types].reverse()
  expect(await list({})).toMatchObject({ types: newest, hasNextPage: false, hasPreviousPage: false })
  const first = await list({ first: 4 })
  expect(first).toMatchObject({ types: newest.slice(0, 4), hasNextPage: true, hasPreviousPage: false })
  const second = await list({ first: 4, after: (first as never as { endCursor: string }).endCursor })
  expect(second).toMatchObject({ types: newest.slice(4), hasNextPage: false, hasPreviousPage: true })
  const back = await list({ last: 3, before: (second as never as { startCursor: string }).startCursor })
  expect(back).toMatchObject({ types: newest.slice(1, 4), hasNextPage: true, hasPreviousPage: true })
  expect(await list({ first: 0 })).toMatchObject({ types: [], hasNextPage: true, startCursor: null })

  expect((await list({ filter: { types: ['invoice.*'] } })).types).toEqual([
    'invoice.sent',
    'invoice.paid.late',
    'invoice.paid',
  ])
  expect((await list({ filter: { types: ['in_oice.*', 'other'] } })).types).toEqual(['in_oice.x', 'other'])
  expect((await list({ filter: { since: new Date(Date.now() + 60_000).toISOString() } })).types).toEqual([])
  expect((await list({ filter: { until: new Date(Date.now() + 60_000).toISOString() } })).types).toEqual(newest)

  for (const [variables, path] of [
    [{ first: 101 }, ['first']],
    [{ last: -1 }, ['last']],
    [{ first: 1, last: 1 }, ['last']],
    [{ after: 'nonsense' }, ['after']],
    [{ filter: { types: [] } }, ['filter', 'types']],
    [{ filter: { types: ['in voice'] } }, ['filter', 'types', '0']],
    [{ filter: { since: '2026-01-02T00:00:00Z', until: '2026-01-01T00:00:00Z' } }, ['filter', 'until']],
  ]) {
    const { errors } = await send(LIST, variables as object)
    expect(errors).toMatchObject([{ extensions: { code: 'INVALID_INPUT', path } }])
  }
})
