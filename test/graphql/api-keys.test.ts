import { expect, test } from 'vitest'
import { parsePublicId, type TenantId } from '../../schema/ids.ts'
import { SYSTEM } from '../../src/audit/actor.ts'
import { makeApiKey } from '../../src/tenants/api-keys.ts'
import { ensureFirstKey } from '../../src/tenants/first-key.ts'
import { movableClock } from '../support/engine.ts'
import { type Dig, startApi } from './api.ts'

const CREATE =
  'mutation ($input: ApiKeyCreateInput!) { apiKeyCreate(input: $input) { key apiKey { id name hint scopes state tenant { key } createdAt expiresAt revokedAt lastUsedAt } userErrors { code path message } } }'
const REVOKE = 'mutation ($id: ID!) { apiKeyRevoke(id: $id) { apiKey { state revokedAt } userErrors { code path } } }'
const LIST =
  'query ($tenant: String, $filter: ApiKeyFilter) { apiKeys(tenant: $tenant, filter: $filter) { nodes { name state } } }'
const WHO = '{ viewer { name scopes tenant { key } } }'

test('a key is shown once, opens what it was made for, and is recognised by how it begins', async () => {
  const { ask, newTenant, db } = await startApi()
  await newTenant('acme')
  const expiresAt = '2999-01-01T00:00:00.000Z'
  const input = { tenant: 'acme', name: 'billing service', scopes: ['MANAGE', 'PUBLISH', 'PUBLISH'], expiresAt }
  const { apiKeyCreate } = await ask(CREATE, { input })
  const key = String(apiKeyCreate?.key)
  expect(key).toMatch(/^prk_[0-9A-Za-z]{49}$/)
  expect(apiKeyCreate?.apiKey).toEqual({
    id: expect.stringMatching(/^key_/),
    name: 'billing service',
    hint: key.slice(0, 8),
    scopes: ['MANAGE', 'PUBLISH'],
    state: 'ACTIVE',
    tenant: { key: 'acme' },
    createdAt: expect.any(String),
    expiresAt,
    revokedAt: null,
    lastUsedAt: null,
  })
  expect(await ask(WHO, {}, key)).toEqual({
    viewer: { name: 'billing service', scopes: ['PUBLISH', 'READ', 'MANAGE'], tenant: { key: 'acme' } },
  })
  const rows = await db.sql`select row_to_json(k)::text as text from postrider.api_keys k
    union all select row_to_json(a)::text from postrider.audit_log a`
  for (const { text } of rows) expect(text).not.toContain(key.slice(4, 14))
})

test('without a tenant a key is bound to its maker’s or the default one; "*" makes an instance-wide one', async () => {
  const { ask, newKey, newTenant } = await startApi()
  const bound = await newKey({ tenantId: await newTenant('acme') })
  const create = async (tenant: string | null | undefined, key?: string) =>
    (await ask(CREATE, { input: { tenant, name: 'one', scopes: ['READ'] } }, key)).apiKeyCreate
  expect((await create(undefined))?.apiKey?.tenant).toEqual({ key: 'default' })
  expect((await create('*'))?.apiKey?.tenant).toBeNull()
  expect((await create(undefined, bound))?.apiKey?.tenant).toEqual({ key: 'acme' })
  for (const tenant of ['*', 'default', 'nobody']) {
    const { key, userErrors } = (await create(tenant, bound)) as Dig
    expect({ key, userErrors }).toMatchObject({
      key: null,
      userErrors: [{ code: 'NOT_FOUND', path: ['input', 'tenant'] }],
    })
  }
})

test('a key that would be of no use, or of too much, is refused', async () => {
  const { ask } = await startApi()
  const create = async (input: object) =>
    (await ask(CREATE, { input: { name: 'one', scopes: ['READ'], ...input } })).apiKeyCreate
  for (const [input, field] of [
    [{ scopes: [] }, 'scopes'],
    [{ name: ' ' }, 'name'],
    [{ name: 'x'.repeat(201) }, 'name'],
    // By it the key of the environment is found again, and replaced.
    [{ name: 'POSTRIDER_ADMIN_KEY' }, 'name'],
    [{ expiresAt: '2020-01-01T00:00:00Z' }, 'expiresAt'],
  ] as const) {
    expect(await create(input), field).toMatchObject({
      key: null,
      apiKey: null,
      userErrors: [{ code: 'INVALID_INPUT', path: ['input', field] }],
    })
  }
})

test('keys are listed by tenant and state, expired and revoked ones as well', async () => {
  const clock = movableClock()
  const { ask, newKey, newTenant } = await startApi({ clock })
  const tenantId = await newTenant('acme')
  const bound = await newKey({ tenantId, name: 'acme admin' })
  await newKey({ tenantId, name: 'short', expiresAt: new Date(clock.now().getTime() + 1000) })
  const { apiKeyCreate } = await ask(CREATE, { input: { tenant: 'acme', name: 'leaked', scopes: ['READ'] } })
  clock.forward(2000)
  const revoked = await ask(REVOKE, { id: apiKeyCreate?.apiKey?.id })
  expect(revoked).toEqual({
    apiKeyRevoke: { apiKey: { state: 'REVOKED', revokedAt: expect.any(String) }, userErrors: [] },
  })
  // Once more changes nothing.
  expect(await ask(REVOKE, { id: apiKeyCreate?.apiKey?.id })).toEqual(revoked)

  const list = async (variables: object, key?: string) => {
    const { apiKeys } = await ask<{ apiKeys: { nodes: { name: string; state: string }[] } }>(LIST, variables, key)
    return apiKeys.nodes.map(({ name, state }) => `${name} ${state}`)
  }
  const ofAcme = ['leaked REVOKED', 'short EXPIRED', 'acme admin ACTIVE']
  expect(await list({}, bound)).toEqual(ofAcme)
  expect(await list({ tenant: 'acme' })).toEqual(ofAcme)
  expect(await list({})).toEqual([])
  expect(await list({ tenant: '*' })).toEqual([...ofAcme, 'test ACTIVE'])
  expect(await list({ tenant: '*', filter: { instanceWide: true } })).toEqual(['test ACTIVE'])
  expect(await list({ tenant: '*', filter: { instanceWide: false, states: ['ACTIVE'] } })).toEqual([ofAcme[2]])
  expect(await list({ tenant: 'acme', filter: { states: ['EXPIRED', 'REVOKED'] } })).toEqual(ofAcme.slice(0, 2))
})

test('the last key that may administer the instance cannot be revoked, not even by two who give up theirs at once', async () => {
  const { ask, adminKey, newKey, clock } = await startApi()
  await newKey({ expiresAt: new Date(clock.now().getTime() - 1) })
  await newKey({ scopes: ['MANAGE', 'PUBLISH'] })
  const keys = [adminKey, await newKey()]
  const ids = await Promise.all(keys.map(async (key) => (await ask('{ viewer { id } }', {}, key)).viewer?.id))
  const answers = await Promise.all(keys.map((key, n) => ask(REVOKE, { id: ids[n] }, key)))
  const codes = answers.map(({ apiKeyRevoke }) => JSON.stringify(apiKeyRevoke?.userErrors)).sort()
  expect(codes).toEqual(['[]', '[{"code":"LAST_ADMIN_KEY","path":["id"]}]'])
})

test('a key that will expire is no successor of one that never does, only of its like', async () => {
  const { ask, adminKey, newKey, clock } = await startApi()
  const expiresAt = new Date(clock.now().getTime() + 60_000)
  const [short, shorter] = [await newKey({ expiresAt }), await newKey({ expiresAt })]
  const revoke = async (key: string) => {
    const id = (await ask('{ viewer { id } }', {}, key)).viewer?.id
    return (await ask(REVOKE, { id }, short)).apiKeyRevoke?.userErrors
  }
  expect(await revoke(adminKey)).toEqual([{ code: 'LAST_ADMIN_KEY', path: ['id'] }])
  expect(await revoke(shorter)).toEqual([])
  await newKey()
  expect(await revoke(adminKey)).toEqual([])
})

test('of two keys that revoke each other at once one is left', async () => {
  const { ask, send, adminKey, newKey } = await startApi()
  const keys = [adminKey, await newKey()]
  const ids = await Promise.all(keys.map(async (key) => (await ask('{ viewer { id } }', {}, key)).viewer?.id))
  await Promise.all(keys.map((key, n) => send(REVOKE, { id: ids[1 - n] }, key)))
  const statuses = await Promise.all(keys.map(async (key) => (await send(WHO, {}, key)).status))
  expect(statuses.sort()).toEqual([200, 401])
})

test('a key that ends in the middle of a document does nothing more', async () => {
  const { ask, send, newKey, db } = await startApi()
  const thief = await newKey({ name: 'thief' })
  const id = (await ask('{ viewer { id } }', {}, thief)).viewer?.id
  const document = `mutation { apiKeyRevoke(id: "${id}") { userErrors { code } }
    apiKeyCreate(input: { tenant: "*", name: "heir", scopes: [ADMIN] }) { key } }`
  const { errors } = await send(document, {}, thief)
  expect(errors).toMatchObject([{ extensions: { code: 'UNAUTHENTICATED' } }])
  expect(await db.sql`select from postrider.api_keys where name = 'heir'`).toHaveLength(0)
})

test('with a key go the portal sessions that it made', async () => {
  const { ask, send, newKey, newTenant, wake } = await startApi()
  await newTenant('acme')
  const [maker, another] = [await newKey(), await newKey()]
  const MINT =
    'mutation { portalSessionCreate(input: { tenant: "acme", scope: READ }) { token portalSession { id state } } }'
  const { portalSessionCreate } = await ask(MINT, {}, maker)
  const spared = String((await ask(MINT, {}, another)).portalSessionCreate?.token)
  let signals = 0
  wake.on('credentials', () => signals++)
  await ask(REVOKE, { id: (await ask('{ viewer { id } }', {}, maker)).viewer?.id }, another)
  expect(signals).toBe(1)
  expect((await send(WHO, {}, maker)).status).toBe(401)
  expect((await send(WHO, {}, String(portalSessionCreate?.token))).status).toBe(401)
  expect((await send(WHO, {}, spared)).status).toBe(200)
})

test('what becomes of keys is noted, of those of the environment as well', async () => {
  const { ask, db, newTenant, clock } = await startApi()
  const acme = await newTenant('acme')
  const give = (given: string) => ensureFirstKey(db.orm, { given, now: clock.now() })
  const { apiKeyCreate } = await ask(CREATE, { input: { tenant: 'acme', name: 'one', scopes: ['READ'] } })
  await ask(CREATE, { input: { tenant: 'acme', name: 'one', scopes: [] } })
  await ask(REVOKE, { id: apiKeyCreate?.apiKey?.id })
  // Nothing is left to change, and so nothing to note.
  await ask(REVOKE, { id: apiKeyCreate?.apiKey?.id })
  for (const key of ['the-first-admin-key', 'the-first-admin-key', 'the-second-admin-key', 'the-first-admin-key']) {
    await give(key)
  }
  const rows = await db.sql<{ action: string; actor: string; object: string; tenant: TenantId | null }[]>`
    select action, actor_name as actor, object, tenant_id as tenant from postrider.audit_log order by id`
  const one = { actor: 'test', object: String(apiKeyCreate?.apiKey?.id), tenant: acme }
  const [first, second] = [rows[2]?.object, rows[3]?.object]
  const ofEnvironment = { actor: 'Postrider', tenant: null }
  expect(rows).toEqual([
    { ...one, action: 'API_KEY_CREATE' },
    { ...one, action: 'API_KEY_REVOKE' },
    { ...ofEnvironment, action: 'API_KEY_CREATE', object: first },
    { ...ofEnvironment, action: 'API_KEY_CREATE', object: second },
    { ...ofEnvironment, action: 'API_KEY_REVOKE', object: first },
    { ...ofEnvironment, action: 'API_KEY_CREATE', object: first },
    { ...ofEnvironment, action: 'API_KEY_REVOKE', object: second },
  ])
  expect(parsePublicId('key', String(first))).not.toBeNull()
})

test('when a key was last used is noted for all that were used, and shown', async () => {
  const { ask, db, newTenant, keyUsage } = await startApi()
  const tenantId = await newTenant('acme')
  const { key } = await makeApiKey(db.orm, SYSTEM, { tenantId, name: 'used', scopes: ['READ'] }, new Date())
  await makeApiKey(db.orm, SYSTEM, { tenantId, name: 'unused', scopes: ['READ'] }, new Date())
  for (let i = 0; i < 5; i++) await ask(WHO, {}, key)
  await keyUsage.close()
  const { apiKeys } = await ask<{ apiKeys: { nodes: { name: string; lastUsedAt: string | null }[] } }>(
    '{ apiKeys(tenant: "acme") { nodes { name lastUsedAt } } }',
  )
  expect(apiKeys.nodes).toEqual([
    { name: 'unused', lastUsedAt: null },
    { name: 'used', lastUsedAt: expect.any(String) },
  ])
})
