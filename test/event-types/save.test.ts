import { describe, expect, test } from 'vitest'
import { startApi } from '../graphql/api.ts'

const SAVE = `mutation ($input: EventTypeSaveInput!, $allowBreaking: Boolean) { eventTypeSave(input: $input, allowBreaking: $allowBreaking) {
  eventType { id name description group validation deprecatedAt replacement archivedAt versions { version schema example } }
  breakingChanges { pointer rule breaks message } userErrors { code path message }
} }`
const LIST = 'query ($filter: EventTypeFilter) { eventTypes(filter: $filter) { nodes { name } } }'

// biome-ignore lint/suspicious/noExplicitAny: whatever is answered
type Any = any

const SCHEMA = { type: 'object', properties: { amount: { type: 'integer' } }, required: ['amount'] }
const version = (schema: unknown = SCHEMA, example: unknown = { amount: 1 }, name = '1') => ({
  version: name,
  schema,
  example,
})

async function world() {
  const api = await startApi()
  return {
    ...api,
    save: async (input: object, allowBreaking = false) =>
      (await api.ask<Any>(SAVE, { input: { name: 'invoice.paid', ...input }, allowBreaking })).eventTypeSave,
    names: async (filter: object, key?: string) =>
      (await api.ask<Any>(LIST, { filter }, key)).eventTypes.nodes.map(({ name }: Any) => name).sort(),
    audits: async () => api.db.sql`select action, tenant_id, details from postrider.audit_log order by id`,
  }
}

test('what is absent stays as it is, and null is the default again', async () => {
  const { save } = await world()
  const all = {
    description: 'Paid.',
    group: 'Billing',
    validation: 'WARN',
    deprecated: true,
    replacement: 'invoice.settled',
  }
  const first = await save({ ...all, version: version() })
  expect(first.userErrors).toEqual([])
  const { deprecated, ...shown } = all
  const expected = { ...shown, deprecatedAt: expect.any(String), versions: [version()] }
  expect(first.eventType).toMatchObject(expected)
  const { eventType } = await save({})
  expect(eventType).toEqual(first.eventType)
  const none = { description: null, group: null, validation: null, deprecated: null }
  expect((await save(none)).eventType).toMatchObject({
    id: first.eventType.id,
    description: null,
    group: null,
    validation: 'OFF',
    deprecatedAt: null,
    replacement: null,
    versions: [version()],
  })
})

test('numbers of a schema stay as they were written', async () => {
  const { url, adminKey, db } = await world()
  const text = '{"name":"a.b","version":{"version":"1","schema":{"maximum":9223372036854775807},"example":1}}'
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${adminKey}` }
  const body = `{"query":${JSON.stringify(SAVE)},"variables":{"input":${text}}}`
  const answer = (await (await fetch(url, { method: 'POST', headers, body })).json()) as Any
  expect(answer.data.eventTypeSave.userErrors).toEqual([])
  const [row] = await db.sql`select schema from postrider.event_type_versions`
  expect(row?.schema).toBe('{"maximum":9223372036854775807}')
})

describe('a schema that breaks those who rely on the one before', () => {
  const optional = { type: 'object', properties: { amount: { type: 'integer' } } }
  const change = { pointer: '/properties/amount', rule: 'required', breaks: 'RECEIVERS' }

  test.each([
    ['as a new version', '2'],
    ['in the place of the same version', '1'],
  ])('is refused %s and told, and is saved where that is allowed', async (_, name) => {
    const { save } = await world()
    await save({ version: version() })
    const refused = await save({ description: 'Changed.', version: version(optional, {}, name) })
    expect(refused).toMatchObject({
      eventType: null,
      breakingChanges: [change],
      userErrors: [{ code: 'BREAKING_CHANGE', path: ['input', 'version', 'schema'] }],
    })
    expect((await save({})).eventType).toMatchObject({ description: null, versions: [version()] })
    const allowed = await save({ version: version(optional, {}, name) }, true)
    expect(allowed).toMatchObject({ breakingChanges: [change], userErrors: [] })
    const versions = allowed.eventType.versions.map((one: Any) => one.version)
    expect(versions).toEqual(name === '1' ? ['1'] : ['2', '1'])
  })
})

describe('what cannot be saved', () => {
  test.each<[string, object, string, string[]]>([
    ['a name that is none', { name: 'invoice.' }, 'INVALID_INPUT', ['name']],
    ['a reserved name', { name: 'endpoint.gone' }, 'RESERVED_EVENT_TYPE', ['name']],
    ['an empty description', { description: '' }, 'INVALID_INPUT', ['description']],
    ['a replacement of what is not deprecated', { replacement: 'a.b' }, 'INVALID_INPUT', ['replacement']],
    ['itself as its replacement', { deprecated: true, replacement: 'invoice.paid' }, 'INVALID_INPUT', ['replacement']],
    ['validation without a schema', { validation: 'REJECT' }, 'INVALID_INPUT', ['validation']],
    ['a schema that is none', { version: version(7) }, 'INVALID_INPUT', ['version', 'schema']],
    ['a schema with a fault', { version: version({ type: 'text' }) }, 'INVALID_INPUT', ['version', 'schema']],
    [
      'too large a schema',
      { version: version({ description: 'x'.repeat(65_536) }) },
      'INVALID_INPUT',
      ['version', 'schema'],
    ],
    ['too large an example', { version: version(true, 'x'.repeat(65_536)) }, 'INVALID_INPUT', ['version', 'example']],
    ['an example that does not fit', { version: version(SCHEMA, {}) }, 'INVALID_INPUT', ['version', 'example']],
    ['an empty version', { version: version(SCHEMA, { amount: 1 }, '') }, 'INVALID_INPUT', ['version', 'version']],
    [
      'what nests too deeply',
      { version: version(JSON.parse(`${'{"not":'.repeat(70)}{}${'}'.repeat(70)}`)) },
      'INVALID_INPUT',
      ['version', 'schema'],
    ],
  ])('%s', async (_, input, code, path) => {
    const { save, names, audits } = await world()
    const { eventType, userErrors } = await save(input)
    expect(eventType).toBeNull()
    expect(userErrors).toMatchObject([{ code, path: ['input', ...path] }])
    expect([await names({}), await audits()]).toEqual([[], []])
  })

  test('a version more than fifty', async () => {
    const { save, db } = await world()
    await save({ version: version(true, 1) })
    await db.sql`
      insert into postrider.event_type_versions (event_type_id, version, schema, example, created_at, updated_at)
      select event_type_id, 'v' || n, schema, example, created_at, updated_at
      from postrider.event_type_versions, generate_series(1, 49) n`
    expect((await save({ version: version(true, 1, 'one more') })).userErrors).toMatchObject([
      { code: 'INVALID_INPUT', path: ['input', 'version', 'version'] },
    ])
    expect((await save({ version: version(true, 2) })).userErrors).toEqual([])
  })
})

test('many who save the same new type at once make one of it', async () => {
  const { save, names } = await world()
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, index) => save({ version: version(true, 1, `v${index}`) })),
  )
  expect(answers.flatMap(({ userErrors }) => userErrors)).toEqual([])
  expect(new Set(answers.map(({ eventType }) => eventType.id)).size).toBe(1)
  expect((await save({})).eventType.versions).toHaveLength(8)
  expect(await names({})).toEqual(['invoice.paid'])
})

test('the catalogue is listed by name, group and state, to every tenant', async () => {
  const { save, names, newKey, newTenant, ask } = await world()
  await save({ group: 'Billing' })
  await save({ name: 'invoice.void.manually', group: 'Billing', deprecated: true })
  const { eventType } = await save({ name: 'order.placed', group: 'Shop' })
  await ask('mutation ($id: ID!) { eventTypeArchive(id: $id) { userErrors { code } } }', { id: eventType.id })
  const key = await newKey({ tenantId: await newTenant('acme'), scopes: ['PUBLISH'] })
  expect(await names({}, key)).toEqual(['invoice.paid', 'invoice.void.manually'])
  expect(await names({ names: ['invoice.*'], groups: ['Billing'] })).toEqual(['invoice.paid', 'invoice.void.manually'])
  expect(await names({ names: ['invoice.paid', 'order.placed'] })).toEqual(['invoice.paid'])
  expect(await names({ archived: true })).toEqual(['order.placed'])
  expect(await names({ deprecated: true })).toEqual(['invoice.void.manually'])
  expect(await names({ deprecated: false })).toEqual(['invoice.paid'])
  expect(await names({ groups: ['Shop'] })).toEqual([])
})

test('what is saved and archived is on record, without the schema', async () => {
  const { save, ask, audits } = await world()
  const { eventType } = await save({ description: 'Paid.', version: version() })
  await ask('mutation ($id: ID!) { eventTypeArchive(id: $id) { userErrors { code } } }', { id: eventType.id })
  expect(await audits()).toMatchObject([
    {
      action: 'EVENT_TYPE_SAVE',
      tenant_id: null,
      details: { name: 'invoice.paid', description: 'Paid.', version: '1', breaking: 0 },
    },
    { action: 'EVENT_TYPE_ARCHIVE', tenant_id: null, details: { name: 'invoice.paid' } },
  ])
})

test('a test of an endpoint sends the example of the version that it is pinned to', async () => {
  const { save, ask, addEndpoint, db } = await world()
  await save({ version: version() })
  await save({ version: version(SCHEMA, { amount: 2 }, '2') })
  await addEndpoint('https://example.com/hook', { eventTypes: ['invoice.paid'] })
  const pin = `mutation ($id: ID!) { endpointUpdate(id: $id, input: { versions: [{ eventType: "invoice.paid", version: "1" }] }) {
    userErrors { message } } }`
  const { endpoints } = await ask<Any>('{ endpoints { nodes { id } } }')
  await ask(pin, { id: endpoints.nodes[0].id })
  await ask('mutation ($id: ID!) { endpointTest(id: $id) { userErrors { code } } }', { id: endpoints.nodes[0].id })
  expect(await db.sql`select version from postrider.events`).toEqual([{ version: '1' }])
})

test('a test of an endpoint sends the example of the newest version', async () => {
  const { save, ask, addEndpoint, db } = await world()
  await save({ version: version() })
  await save({ version: version(SCHEMA, { amount: 2 }, '2') })
  await addEndpoint('https://example.com/hook', { eventTypes: ['invoice.paid'] })
  const { endpoints } = await ask<Any>('{ endpoints { nodes { id } } }')
  await ask('mutation ($id: ID!) { endpointTest(id: $id) { userErrors { code } } }', { id: endpoints.nodes[0].id })
  const rows =
    await db.sql`select type, version, payload from postrider.events join postrider.event_payloads using (id)`
  expect(rows).toEqual([{ type: 'invoice.paid', version: '2', payload: '{"amount":2}' }])
})
