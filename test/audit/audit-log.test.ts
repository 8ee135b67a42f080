import { expect, test } from 'vitest'
import { type AuditEntryId, publicId } from '../../schema/ids.ts'
import type { Scope } from '../../schema/states.ts'
import { SYSTEM } from '../../src/audit/actor.ts'
import { recordActionIn } from '../../src/audit/record.ts'
import { startApi } from '../graphql/api.ts'
import { movableClock } from '../support/engine.ts'
import { viewerOf } from '../support/viewer.ts'
import { readFromMany } from './many-entries.ts'

const FIELDS = 'id action actor { kind id name } tenant { key } objectId details address at'
const LIST = `query ($tenant: String, $filter: AuditLogFilter, $first: Int, $after: String, $last: Int, $before: String) {
  auditLog(tenant: $tenant, filter: $filter, first: $first, after: $after, last: $last, before: $before) {
    nodes { ${FIELDS} } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`
const NODE = `query ($id: ID!) { node(id: $id) { ... on AuditEntry { ${FIELDS} } } }`

type Entry = {
  id: string
  action: string
  actor: { kind: string; id: string | null; name: string }
  objectId: string
  details: object
  at: string
}
type Listed = {
  auditLog: {
    nodes: Entry[]
    pageInfo: { hasNextPage: boolean; endCursor: string; startCursor: string; hasPreviousPage: boolean }
  }
}

/** An endpoint of each of two tenants, made, changed and paused. */
async function world() {
  const clock = movableClock()
  const api = await startApi({ clock })
  const otherId = await api.newTenant('other')
  const keyOf = async (name: string, more: Parameters<typeof api.newKey>[0] = {}) => api.newKey({ name, ...more })
  const [ours, theirs] = [await keyOf('ours', { tenantId: api.tenantId }), await keyOf('theirs', { tenantId: otherId })]
  const act = async (key: string) => {
    const { endpointCreate } = await api.ask<{ endpointCreate: { endpoint: { id: string } } }>(
      `mutation { endpointCreate(input: { url: "https://example.com/a" }) { endpoint { id } } }`,
      {},
      key,
    )
    const { id } = endpointCreate.endpoint
    clock.forward(1000)
    await api.ask(
      `mutation ($id: ID!) { endpointUpdate(id: $id, input: { url: "https://example.com/b" }) { userErrors { code } } }`,
      { id },
      key,
    )
    clock.forward(1000)
    await api.ask(`mutation ($id: ID!) { endpointPause(id: $id) { userErrors { code } } }`, { id }, key)
    clock.forward(1000)
    return id
  }
  const [endpoint, foreign] = [await act(ours), await act(theirs)]
  const list = async (variables: object = {}, key = api.adminKey) =>
    (await api.ask<Listed>(LIST, variables, key)).auditLog
  return { ...api, clock, ours, theirs, endpoint, foreign, list }
}

test('tells who did what to which, with what, from where and when; newest first', async () => {
  const { list, ours, endpoint, ask } = await world()
  const { viewer } = await ask<{ viewer: { id: string } }>('{ viewer { id } }', {}, ours)
  const actor = { kind: 'API_KEY', id: viewer.id, name: 'ours' }
  const { nodes } = await list({}, ours)
  const common = { actor, tenant: { key: 'default' }, objectId: endpoint, address: '127.0.0.1' }
  expect(nodes).toMatchObject([
    { ...common, action: 'ENDPOINT_PAUSE', details: {} },
    {
      ...common,
      action: 'ENDPOINT_UPDATE',
      details: { url: { from: 'https://example.com/a', to: 'https://example.com/b' } },
    },
    { ...common, action: 'ENDPOINT_CREATE', details: { url: 'https://example.com/a' } },
  ])
  for (const entry of nodes) {
    expect(entry.id).toMatch(/^aud_/)
    expect(await ask(NODE, { id: entry.id }, ours)).toEqual({ node: entry })
  }
})

test('a bound key sees its own tenant’s; * brings all, with what belongs to the instance', async () => {
  const { list, send, db, clock, ours, theirs, endpoint, foreign } = await world()
  await db.transaction((tx) =>
    recordActionIn(tx, SYSTEM, { action: 'KEYS_ROTATE', tenantId: null, object: null }, clock.now()),
  )
  const objects = async (variables: object, key?: string) =>
    new Set((await list(variables, key)).nodes.map(({ objectId }) => objectId))
  expect(await objects({}, ours)).toEqual(new Set([endpoint]))
  expect(await objects({}, theirs)).toEqual(new Set([foreign]))
  expect(await objects({})).toEqual(new Set([endpoint]))
  expect(await objects({ tenant: 'other' })).toEqual(new Set([foreign]))
  expect(await objects({ tenant: '*' })).toEqual(new Set([null, endpoint, foreign]))
  const [rotation] = (await list({ tenant: '*', first: 1 })).nodes
  expect(rotation).toMatchObject({
    action: 'KEYS_ROTATE',
    tenant: null,
    address: null,
    actor: { kind: 'SYSTEM', id: null, name: 'Postrider' },
  })
  for (const tenant of ['*', 'default', 'nobody']) {
    const { errors } = await send(LIST, { tenant }, theirs)
    expect(errors, tenant).toMatchObject([{ extensions: { code: 'NOT_FOUND' } }])
  }
})

test('an entry is absent for another tenant, and for whoever is not ADMIN', async () => {
  const { list, ask, send, newKey, ours, theirs, tenantId } = await world()
  const [entry] = (await list({}, ours)).nodes
  expect(await ask(NODE, { id: entry?.id }, theirs)).toEqual({ node: null })
  const manager = await newKey({ tenantId, scopes: ['MANAGE', 'READ', 'PUBLISH'] })
  expect(await ask(NODE, { id: entry?.id }, manager)).toEqual({ node: null })
  expect((await send(LIST, {}, manager)).errors).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }])
})

test('is filtered by action, object, actor and time: AND between them, OR inside', async () => {
  const { list, ask, ours, endpoint, foreign, clock } = await world()
  const { viewer } = await ask<{ viewer: { id: string } }>('{ viewer { id } }', {}, ours)
  const actionsOf = async (filter: object) =>
    (await list({ tenant: '*', filter })).nodes.map(
      ({ action, objectId }) => `${action} ${objectId === endpoint ? 'ours' : 'theirs'}`,
    )
  expect(await actionsOf({ actions: ['ENDPOINT_PAUSE'] })).toEqual(['ENDPOINT_PAUSE theirs', 'ENDPOINT_PAUSE ours'])
  expect(await actionsOf({ actions: ['ENDPOINT_PAUSE', 'ENDPOINT_CREATE'], objectIds: [endpoint] })).toEqual([
    'ENDPOINT_PAUSE ours',
    'ENDPOINT_CREATE ours',
  ])
  expect(await actionsOf({ objectIds: [endpoint, foreign], actions: ['ENDPOINT_CREATE'] })).toHaveLength(2)
  expect(await actionsOf({ actorIds: [viewer.id] })).toHaveLength(3)
  expect(await actionsOf({ actorIds: [viewer.id], objectIds: [foreign] })).toEqual([])
  const all = (await list({ tenant: '*' })).nodes
  const since = all[2]?.at
  expect(await actionsOf({ since })).toHaveLength(3)
  expect(await actionsOf({ until: since })).toHaveLength(3)
  expect(await actionsOf({ since: clock.now().toISOString() })).toEqual([])
})

test('comes in pages, in both directions', async () => {
  const { list } = await world()
  const all = (await list({ tenant: '*' })).nodes.map(({ id }) => id)
  expect(all).toHaveLength(6)
  const first = await list({ tenant: '*', first: 4 })
  const second = await list({ tenant: '*', first: 4, after: first.pageInfo.endCursor })
  expect([...first.nodes, ...second.nodes].map(({ id }) => id)).toEqual(all)
  expect([first, second].map(({ pageInfo }) => pageInfo.hasNextPage)).toEqual([true, false])
  const last = await list({ tenant: '*', last: 2 })
  expect(last.nodes.map(({ id }) => id)).toEqual(all.slice(4))
  const before = await list({ tenant: '*', last: 2, before: last.pageInfo.startCursor })
  expect(before.nodes.map(({ id }) => id)).toEqual(all.slice(2, 4))
})

test('a filter that cannot be used is refused', async () => {
  const { send, endpoint } = await world()
  const key = publicId('key', '01900000-0000-7000-8000-000000000000' as never)
  const unusable: [object, string[]][] = [
    [{ actions: [] }, ['filter', 'actions']],
    [{ objectIds: ['nonsense'] }, ['filter', 'objectIds', '0']],
    [{ actorIds: [key, endpoint] }, ['filter', 'actorIds', '1']],
    [{ actorIds: Array(101).fill(key) }, ['filter', 'actorIds']],
    [{ since: '2026-01-02T00:00:00Z', until: '2026-01-01T00:00:00Z' }, ['filter', 'until']],
  ]
  for (const [filter, path] of unusable) {
    expect((await send(LIST, { filter })).errors).toMatchObject([{ extensions: { code: 'INVALID_INPUT', path } }])
  }
})

test('whatever is asked, no more is read than the page needs', async () => {
  for (const { name, blocks } of await readFromMany(50_000)) expect(blocks, name).toBeLessThan(120)
})

test('entries are found by their ids for ADMIN alone, whoever asks for them', async () => {
  const { capabilities, db, tenantId } = await startApi()
  const action = { action: 'KEYS_ROTATE', tenantId, object: null } as const
  await db.transaction((tx) => recordActionIn(tx, SYSTEM, action, new Date()))
  const [row] = await db.sql<[{ id: AuditEntryId }]>`select id from postrider.audit_log`
  const found = async (scope: Scope) =>
    (await capabilities.auditLog.byIds(viewerOf(tenantId, [scope]), [row.id])).map(({ id }) => id)
  expect(await found('ADMIN')).toEqual([row.id])
  for (const scope of ['PUBLISH', 'READ', 'MANAGE'] as const) expect(await found(scope)).toEqual([])
})
