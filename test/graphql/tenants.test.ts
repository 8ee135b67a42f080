import { expect, test } from 'vitest'
import { parsePublicId, type TenantId } from '../../schema/ids.ts'
import { startApi } from './api.ts'

const CREATE =
  'mutation ($input: TenantCreateInput!) { tenantCreate(input: $input) { tenant { id key name createdAt deletedAt } userErrors { code path } } }'
const UPDATE =
  'mutation ($id: ID!, $input: TenantUpdateInput!) { tenantUpdate(id: $id, input: $input) { tenant { key name } userErrors { code path } } }'
const DELETE = 'mutation ($id: ID!) { tenantDelete(id: $id) { tenant { key } userErrors { code path } } }'

test('a tenant is made, renamed, found and listed, and publishes by its key', async () => {
  const { ask, newKey } = await startApi()
  const { tenantCreate } = await ask(CREATE, { input: { key: 'acme', name: 'Acme Inc.' } })
  const id = String(tenantCreate?.tenant?.id)
  expect(tenantCreate).toEqual({
    tenant: {
      id: expect.stringMatching(/^ten_/),
      key: 'acme',
      name: 'Acme Inc.',
      createdAt: expect.any(String),
      deletedAt: null,
    },
    userErrors: [],
  })
  for (const [input, name] of [
    [{ name: 'Acme' }, 'Acme'],
    [{}, 'Acme'],
    [{ name: null }, null],
  ] as const) {
    expect(await ask(UPDATE, { id, input })).toEqual({
      tenantUpdate: { tenant: { key: 'acme', name }, userErrors: [] },
    })
  }
  const FIND = 'query ($id: ID, $key: String) { tenant(id: $id, key: $key) { id key } }'
  for (const by of [{ id }, { key: 'acme' }]) expect(await ask(FIND, by)).toEqual({ tenant: { id, key: 'acme' } })
  for (const by of [{ id: 'acme' }, { key: id }, { key: 'a\0b' }]) expect(await ask(FIND, by)).toEqual({ tenant: null })

  const LIST = '{ tenants(first: 2) { nodes { key } pageInfo { hasNextPage } } }'
  expect(await ask(LIST)).toMatchObject({ tenants: { nodes: [{ key: 'acme' }, {}], pageInfo: { hasNextPage: true } } })
  const bound = await newKey({ tenantId: parsePublicId('ten', id) as TenantId })
  expect(await ask(LIST, {}, bound)).toEqual({
    tenants: { nodes: [{ key: 'acme' }], pageInfo: { hasNextPage: false } },
  })

  const { eventPublish } = await ask(
    'mutation { eventPublish(input: { tenant: "acme", type: "a", payload: 1 }) { event { tenant { id } } } }',
  )
  expect(eventPublish).toEqual({ event: { tenant: { id } } })
})

test('a tenant is named by one of its id and its key', async () => {
  const { send } = await startApi()
  for (const [args, path] of [
    ['(id: "x", key: "x")', ['key']],
    ['(id: null)', ['id']],
    ['', ['id']],
  ] as const) {
    const { errors } = await send(`{ tenant${args} { id } }`)
    expect(errors).toMatchObject([{ extensions: { code: 'INVALID_INPUT', path } }])
  }
})

test('keys of tenants are short, safe and given once', async () => {
  const { ask } = await startApi()
  const create = async (input: object) => (await ask(CREATE, { input })).tenantCreate
  for (const key of ['a', 'Acme', 'cus_NffrFeUfNV2Hib', '0b3c:eu-1.x', 'x'.repeat(64)]) {
    expect(await create({ key }), key).toMatchObject({ tenant: { key, name: null } })
  }
  for (const key of ['', '*', ' acme', 'a b', 'acme/eu', '-a', 'ä', 'a\n', 'x'.repeat(65)]) {
    const userErrors = [{ code: 'INVALID_INPUT', path: ['input', 'key'] }]
    expect(await create({ key }), JSON.stringify(key)).toEqual({ tenant: null, userErrors })
  }
  for (const key of ['a', 'default', 'operations']) {
    const userErrors = [{ code: 'TENANT_EXISTS', path: ['input', 'key'] }]
    expect(await create({ key }), key).toEqual({ tenant: null, userErrors })
  }
  for (const name of ['', ' ', 'x'.repeat(201), '\ud800', 'a\0']) {
    const userErrors = [{ code: 'INVALID_INPUT', path: ['input', 'name'] }]
    expect(await create({ key: 'b', name }), JSON.stringify(name)).toEqual({ tenant: null, userErrors })
  }
})

test('of twenty who make the same tenant at once, one does', async () => {
  const { ask } = await startApi()
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(CREATE, { input: { key: 'acme' } })))
  expect(answers.filter(({ tenantCreate }) => tenantCreate?.tenant !== null)).toHaveLength(1)
})

test('what every installation has cannot be deleted', async () => {
  const { ask } = await startApi()
  for (const key of ['default', 'operations']) {
    const userErrors = [{ code: 'BUILT_IN_TENANT', path: ['id'] }]
    expect(await ask(DELETE, { id: await publicIdOf(ask, key) })).toEqual({
      tenantDelete: { tenant: null, userErrors },
    })
  }
})

test('a deleted tenant is gone for whoever names it, and its key may be given again', async () => {
  const { ask, send } = await startApi()
  await ask(CREATE, { input: { key: 'acme' } })
  const id = await publicIdOf(ask, 'acme')
  const { eventPublish } = await ask(
    'mutation { eventPublish(input: { tenant: "acme", type: "a", payload: 1 }) { event { id } } }',
  )
  const event = eventPublish?.event?.id
  expect(await ask(DELETE, { id })).toEqual({ tenantDelete: { tenant: { key: 'acme' }, userErrors: [] } })

  expect(await ask(DELETE, { id })).toMatchObject({ tenantDelete: { userErrors: [{ code: 'NOT_FOUND' }] } })
  expect(await ask(UPDATE, { id, input: {} })).toMatchObject({ tenantUpdate: { userErrors: [{ code: 'NOT_FOUND' }] } })
  for (const mutation of [
    'eventPublish(input: { tenant: "acme", type: "a", payload: 1 })',
    'endpointCreate(input: { tenant: "acme", url: "https://example.com" })',
    'apiKeyCreate(input: { tenant: "acme", name: "a", scopes: [READ] })',
    'portalSessionCreate(input: { tenant: "acme", scope: READ })',
    'replayStart(input: { tenant: "acme", select: { deliveries: {} } })',
  ]) {
    const userErrors = [{ code: 'NOT_FOUND', path: ['input', 'tenant'] }]
    expect(await ask(`mutation { answer: ${mutation} { userErrors { code path } } }`)).toEqual({
      answer: { userErrors },
    })
  }
  const { errors } = await send('{ events(tenant: "acme") { nodes { id } } }')
  expect(errors).toMatchObject([{ extensions: { code: 'NOT_FOUND', path: ['tenant'] } }])
  expect(await ask('{ tenant(key: "acme") { id } tenants { nodes { key } } }')).toEqual({
    tenant: null,
    tenants: { nodes: [{ key: 'operations' }, { key: 'default' }] },
  })

  // What happened stays on record, and says whose it was.
  const gone = { id, key: 'acme', deletedAt: expect.any(String) }
  const READ = `query ($id: ID!, $event: ID!) { tenant(id: $id) { id key deletedAt } event(id: $event) { tenant { id key deletedAt } } }`
  expect(await ask(READ, { id, event })).toEqual({ tenant: gone, event: { tenant: gone } })
  expect(await ask('{ events(tenant: "*") { nodes { id } } }')).toEqual({ events: { nodes: [{ id: event }] } })
  const LOG = '{ auditLog(tenant: "*", first: 1) { nodes { action tenant { id key deletedAt } } } }'
  expect(await ask(LOG)).toEqual({ auditLog: { nodes: [{ action: 'TENANT_DELETE', tenant: gone }] } })

  await ask(CREATE, { input: { key: 'acme' } })
  expect(await publicIdOf(ask, 'acme')).not.toBe(id)
  expect(await ask('{ events(tenant: "acme") { nodes { id } } }')).toEqual({ events: { nodes: [] } })
})

test('each change of a tenant is noted, and what was refused is not', async () => {
  const { ask, db, newKey } = await startApi()
  const key = await newKey({ name: 'operator' })
  await ask(CREATE, { input: { key: 'acme', name: 'Acme' } }, key)
  const id = await publicIdOf(ask, 'acme')
  await ask(UPDATE, { id, input: { name: 'Acme Inc.' } }, key)
  await ask(CREATE, { input: { key: 'acme' } }, key)
  await ask(UPDATE, { id, input: { name: '' } }, key)
  await ask(DELETE, { id }, key)
  await ask(DELETE, { id }, key)
  const rows =
    await db.sql`select action, object, details, actor_name as actor, address from postrider.audit_log order by id`
  const common = { object: id, actor: 'operator', address: '127.0.0.1' }
  expect(rows).toEqual([
    { ...common, action: 'TENANT_CREATE', details: { key: 'acme', name: 'Acme' } },
    { ...common, action: 'TENANT_UPDATE', details: { name: { from: 'Acme', to: 'Acme Inc.' } } },
    {
      ...common,
      action: 'TENANT_DELETE',
      details: { key: 'acme', name: 'Acme Inc.', endpoints: 0, apiKeys: 0, portalSessions: 0 },
    },
  ])
})

type Ask = Awaited<ReturnType<typeof startApi>>['ask']

async function publicIdOf(ask: Ask, key: string): Promise<string> {
  return String((await ask('query ($key: String) { tenant(key: $key) { id } }', { key })).tenant?.id)
}
