import { describe, expect, test } from 'vitest'
import { startApi } from '../graphql/api.ts'
import { providerDocument } from './openapi-document.ts'

const IMPORT = `mutation ($document: String!, $version: String, $validation: EventTypeValidation, $allowBreaking: Boolean, $dryRun: Boolean) {
  eventTypesImport(document: $document, version: $version, validation: $validation, allowBreaking: $allowBreaking, dryRun: $dryRun) {
    webhooks { name state exampleDerived eventType { id name } breakingChanges { pointer rule breaks } userErrors { code path message } }
    userErrors { code path message }
  }
}`
const TYPE = `query ($name: String!) { eventType(name: $name) {
  description group validation deprecatedAt archivedAt versions { version } newestVersion { version schema example }
} }`
const BATCH = `mutation ($events: [EventPublishInput!]!) { eventPublishBatch(events: $events) {
  results { event { id } userErrors { code path } }
} }`

// biome-ignore lint/suspicious/noExplicitAny: whatever is answered
type Any = any

async function world() {
  const api = await startApi()
  return {
    ...api,
    bring: async (document: unknown, options: object = {}) =>
      (await api.ask<Any>(IMPORT, { document: JSON.stringify(document), ...options })).eventTypesImport,
    typeOf: async (name: string) => (await api.ask<Any>(TYPE, { name })).eventType,
    counts: async () =>
      (
        await api.db.sql`
        select (select count(*)::int from postrider.event_types) as types,
          (select count(*)::int from postrider.event_type_versions) as versions,
          (select count(*)::int from postrider.audit_log where action = 'EVENT_TYPES_IMPORT') as entries`
      )[0],
  }
}

async function examplesOf(ask: Awaited<ReturnType<typeof startApi>>['ask']) {
  const query = `query ($after: String) { eventTypes(first: 100, after: $after) {
    nodes { name newestVersion { example } } pageInfo { endCursor }
  } }`
  const first = (await ask<Any>(query)).eventTypes
  const second = (await ask<Any>(query, { after: first.pageInfo.endCursor })).eventTypes
  const nodes: Any[] = [...first.nodes, ...second.nodes]
  return nodes.map(({ name, newestVersion }) => ({ type: name, payload: newestVersion.example }))
}

const statesOf = ({ webhooks }: Any) => {
  const counts: Record<string, number> = {}
  for (const { state } of webhooks) counts[state] = (counts[state] ?? 0) + 1
  return counts
}

test('a document of 200 webhooks is imported, and what is published is judged by it', {
  timeout: 240_000,
}, async () => {
  const { bring, typeOf, ask, counts } = await world()
  const first = await bring(providerDocument(), { validation: 'REJECT' })
  expect(first.webhooks.filter(({ userErrors }: Any) => userErrors.length > 0)).toEqual([])
  expect(statesOf(first)).toEqual({ CREATED: 200 })
  expect(first.webhooks.filter(({ exampleDerived }: Any) => exampleDerived)).toHaveLength(100)
  expect(await counts()).toEqual({ types: 200, versions: 200, entries: 1 })
  expect(await typeOf('source.created')).toMatchObject({
    description: 'Occurs whenever a source is created.',
    group: 'Source',
    validation: 'REJECT',
    deprecatedAt: expect.any(String),
    versions: [{ version: '1' }],
  })

  // One of each object, since its five have the same schema: with its own example, and with one that was spoilt.
  const examples = ((await examplesOf(ask)) as { type: string; payload: Any }[]).filter((_, index) => index % 5 === 0)
  expect(new Set(examples.map(({ type }) => type.split('.')[0])).size).toBe(40)
  const events = examples.flatMap(({ type, payload }) => {
    const { object } = payload.data
    return [
      { type, payload },
      { type, payload: { ...payload, data: { object: { ...object, amount: 'much' } } } },
    ]
  })
  const { results } = (await ask<Any>(BATCH, { events })).eventPublishBatch
  const path = (index: number) => ['events', String(index), 'payload', 'data', 'object', 'amount']
  expect(results).toEqual(
    events.map((_, index) =>
      index % 2 === 0
        ? { event: { id: expect.any(String) }, userErrors: [] }
        : { event: null, userErrors: [{ code: 'SCHEMA_VIOLATION', path: path(index) }] },
    ),
  )
})

test('a document that is imported again changes what changed, and breaks nobody unless it may', {
  timeout: 240_000,
}, async () => {
  const { bring, typeOf, counts } = await world()
  const tried = await bring(providerDocument({ most: 12 }), { dryRun: true })
  expect(statesOf(tried)).toEqual({ CREATED: 12 })
  expect(await counts()).toEqual({ types: 0, versions: 0, entries: 0 })

  await bring(providerDocument({ most: 12 }))
  expect(statesOf(await bring(providerDocument({ most: 12 })))).toEqual({ UNCHANGED: 12 })

  const changed = providerDocument({ amountType: 'number', most: 12 })
  const refused = await bring(changed)
  expect(statesOf(refused)).toEqual({ REFUSED: 12 })
  expect(refused.webhooks[0]).toMatchObject({
    breakingChanges: expect.arrayContaining([
      { pointer: '/properties/data/properties/object/properties/amount', rule: 'type', breaks: 'RECEIVERS' },
    ]),
    userErrors: [{ code: 'BREAKING_CHANGE' }],
  })
  expect((await typeOf('account.created')).newestVersion.schema.$defs.Account.properties.amount).toEqual({
    type: 'integer',
  })

  expect(statesOf(await bring(changed, { version: '2026-12-01', allowBreaking: true }))).toEqual({ CHANGED: 12 })
  expect((await typeOf('account.created')).versions).toEqual([{ version: '2026-12-01' }, { version: '1' }])
})

test('an import makes up no example where somebody has written one that still fits', async () => {
  const { bring, ask, typeOf } = await world()
  const type = (properties: object) => ({
    type: 'object',
    required: ['id'],
    properties: { id: { type: 'string', pattern: '^in_' }, ...properties },
  })
  const version = { version: '1', schema: type({}), example: { id: 'in_8231' } }
  const save = 'mutation ($input: EventTypeSaveInput!) { eventTypeSave(input: $input) { userErrors { message } } }'
  await ask(save, { input: { name: 'a.b', version } })
  expect((await bring(withSchema(type({})))).webhooks).toMatchObject([{ state: 'UNCHANGED', exampleDerived: false }])
  expect((await bring(withSchema(type({ note: { type: 'string' } })))).webhooks).toMatchObject([{ state: 'CHANGED' }])
  expect((await typeOf('a.b')).newestVersion).toMatchObject({ version: '1', example: { id: 'in_8231' } })

  const other = { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } }
  expect((await bring(withSchema(other), { allowBreaking: true })).webhooks).toMatchObject([{ exampleDerived: true }])
})

const body = (media: object) => ({ requestBody: { content: { 'application/json': media } } })
const one = (item: unknown, more: object = {}) => ({ openapi: '3.1.0', webhooks: { 'a.b': item }, ...more })
const withSchema = (schema: unknown, more: object = {}) => one({ post: body({ schema, ...more }) })

describe('a webhook', () => {
  const ROWS: [string, unknown, object][] = [
    [
      'by reference',
      one({ $ref: '#/components/pathItems/X' }, { components: { pathItems: { X: { post: body({ schema: true }) } } } }),
      { state: 'CREATED' },
    ],
    [
      'with an example by reference',
      one(
        { post: body({ schema: { type: 'integer' }, examples: { x: { $ref: '#/components/examples/X' } } }) },
        { components: { examples: { X: { value: 7 } } } },
      ),
      { state: 'CREATED', exampleDerived: false },
    ],
    [
      'with a schema that contains itself',
      one(
        { post: body({ schema: { $ref: '#/components/schemas/T' } }) },
        { components: { schemas: { T: { type: 'object', properties: { t: { $ref: '#/components/schemas/T' } } } } } },
      ),
      { state: 'CREATED', exampleDerived: true },
    ],
    [
      'with two definitions of one name',
      one(
        {
          post: body({
            schema: {
              type: 'object',
              properties: { a: { $ref: '#/components/schemas/X' }, b: { $ref: '#/x/X' } },
              required: ['a', 'b'],
            },
          }),
        },
        { components: { schemas: { X: { type: 'string' } } }, x: { X: { type: 'null' } } },
      ),
      { state: 'CREATED' },
    ],
    ['without a body', one({ post: {} }), { state: 'REFUSED' }],
    ['without an operation', one({}), { state: 'REFUSED' }],
    [
      'that is not JSON',
      one({ post: { requestBody: { content: { 'text/plain': { schema: true } } } } }),
      { state: 'REFUSED' },
    ],
    ['with a reference out of the document', withSchema({ $ref: 'other.json#/X' }), { state: 'REFUSED' }],
    ['with a reference to nothing', withSchema({ $ref: '#/components/schemas/X' }), { state: 'REFUSED' }],
    ['with a schema that is none', withSchema({ type: 'text' }), { state: 'REFUSED' }],
    ['with an example that does not fit', withSchema({ type: 'string' }, { example: 7 }), { state: 'REFUSED' }],
    ['for which no example can be made', withSchema({ type: 'string', pattern: '^[A-Z]{3}$' }), { state: 'REFUSED' }],
    ['with too large a schema', withSchema({ description: 'x'.repeat(70_000) }), { state: 'REFUSED' }],
    [
      'with a name that is none',
      { openapi: '3.1.0', webhooks: { 'a-b': { post: body({ schema: true }) } } },
      { state: 'REFUSED' },
    ],
    [
      'with a reserved name',
      { openapi: '3.1.0', webhooks: { 'endpoint.gone': { post: body({ schema: true }) } } },
      { state: 'REFUSED' },
    ],
  ]
  test('is saved or refused for what it is', async () => {
    const { bring, counts, db } = await world()
    for (const [what, document, expected] of ROWS) {
      const { webhooks, userErrors } = await bring(document)
      expect(userErrors, what).toEqual([])
      expect(webhooks, what).toMatchObject([expected])
      expect(webhooks[0].userErrors.length > 0, what).toBe(webhooks[0].state === 'REFUSED')
      expect((await counts())?.types, what).toBe(webhooks[0].state === 'REFUSED' ? 0 : 1)
      // Each comes into an empty catalogue.
      await db.sql`truncate postrider.event_types cascade`
    }
  })

  test('that is refused keeps no other one from being saved', async () => {
    const { bring } = await world()
    const good = { post: body({ schema: { type: 'object' } }) }
    const { webhooks } = await bring({ openapi: '3.1.0', webhooks: { 'a.b': good, 'a-b': good, 'a.c': good } })
    expect(webhooks.map(({ state }: Any) => state)).toEqual(['CREATED', 'REFUSED', 'CREATED'])
  })
})

const REFUSED: [string, unknown][] = [
  ['of OpenAPI 3.0', { openapi: '3.0.3', webhooks: { a: {} } }],
  ['without webhooks', { openapi: '3.1.0', paths: {} }],
  [
    'with more than 300',
    { openapi: '3.1.0', webhooks: Object.fromEntries(Array.from({ length: 301 }, (_, i) => [`a${i}`, {}])) },
  ],
  ['that is no object', 7],
  ['that nests without end', JSON.parse(`{"openapi":"3.1.0","webhooks":${'['.repeat(300)}${']'.repeat(300)}}`)],
]
test('what is no document of webhooks is refused as a whole', async () => {
  const { bring, counts } = await world()
  for (const [what, document] of REFUSED) {
    expect(await bring(document), `a document ${what}`).toMatchObject({
      webhooks: [],
      userErrors: [{ code: 'INVALID_INPUT', path: ['document'] }],
    })
  }
  expect(await counts()).toEqual({ types: 0, versions: 0, entries: 0 })
})
