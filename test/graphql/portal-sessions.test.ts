import { expect, test } from 'vitest'
import { dropExpiredSessions } from '../../src/tenants/portal-sessions.ts'
import { movableClock } from '../support/engine.ts'
import { type Dig, startApi } from './api.ts'

const CREATE = `mutation ($input: PortalSessionCreateInput!) { portalSessionCreate(input: $input) {
  token portalSession { id name scope state tenant { key } apiKey { name } createdAt expiresAt revokedAt } userErrors { code path }
} }`
const REVOKE =
  'mutation ($id: ID!) { portalSessionRevoke(id: $id) { portalSession { state } userErrors { code path } } }'
const WHO = '{ viewer { id kind name scopes tenant { key } expiresAt } }'
const LIST =
  'query ($filter: PortalSessionFilter) { portalSessions(tenant: "acme", filter: $filter) { nodes { name state } } }'

async function world() {
  const clock = movableClock()
  const api = await startApi({ clock })
  const acme = await api.newTenant('acme')
  const create = async (input: object = {}, key?: string) =>
    (await api.ask(CREATE, { input: { tenant: 'acme', scope: 'READ', ...input } }, key)).portalSessionCreate
  return { ...api, clock, acme, create }
}

test('a portal session is a token for one tenant, until it expires', async () => {
  const { ask, send, create, clock, db } = await world()
  const made = await create({ scope: 'MANAGE', name: 'jane@acme.example', expiresInSeconds: 60 })
  const token = String(made?.token)
  expect(token).toMatch(/^prs_[0-9A-Za-z]{49}$/)
  const [createdAt, expiresAt] = [String(made?.portalSession?.createdAt), String(made?.portalSession?.expiresAt)]
  expect(Date.parse(expiresAt) - Date.parse(createdAt)).toBe(60_000)
  expect(made?.portalSession).toEqual({
    id: expect.stringMatching(/^pts_/),
    name: 'jane@acme.example',
    scope: 'MANAGE',
    state: 'ACTIVE',
    tenant: { key: 'acme' },
    apiKey: { name: 'test' },
    createdAt,
    expiresAt,
    revokedAt: null,
  })
  expect(await ask(WHO, {}, token)).toEqual({
    viewer: {
      id: made?.portalSession?.id,
      kind: 'PORTAL_SESSION',
      name: 'jane@acme.example',
      scopes: ['READ', 'MANAGE'],
      tenant: { key: 'acme' },
      expiresAt,
    },
  })
  const rows = await db.sql`select row_to_json(s)::text as text from postrider.portal_sessions s`
  expect(rows[0]?.text).not.toContain(token.slice(4, 14))

  clock.forward(60_000)
  expect((await send(WHO, {}, token)).status).toBe(401)
})

test('what a portal session does is noted in its name', async () => {
  const { ask, create, db } = await world()
  const made = await create({ scope: 'MANAGE', name: 'jane@acme.example' })
  await ask('mutation { endpointCreate(input: { url: "https://example.com" }) { secret } }', {}, String(made?.token))
  const rows =
    await db.sql`select action, actor_kind as kind, actor_name as name, object from postrider.audit_log order by id`
  expect(rows).toMatchObject([
    { action: 'PORTAL_SESSION_CREATE', kind: 'API_KEY', name: 'test', object: made?.portalSession?.id },
    { action: 'ENDPOINT_CREATE', kind: 'PORTAL_SESSION', name: 'jane@acme.example' },
  ])
})

test('a portal session lasts an hour unless told otherwise, a minute at least and a day at most', async () => {
  const { create } = await world()
  const lasts = async (input: object) => {
    const { portalSession } = (await create(input)) as Dig
    return (Date.parse(String(portalSession?.expiresAt)) - Date.parse(String(portalSession?.createdAt))) / 1000
  }
  expect(await lasts({})).toBe(3600)
  expect(await lasts({ expiresInSeconds: null })).toBe(3600)
  expect(await lasts({ expiresInSeconds: 86_400 })).toBe(86_400)
  for (const [input, field] of [
    [{ expiresInSeconds: 59 }, 'expiresInSeconds'],
    [{ expiresInSeconds: 86_401 }, 'expiresInSeconds'],
    [{ expiresInSeconds: -1 }, 'expiresInSeconds'],
    [{ name: '' }, 'name'],
  ] as const) {
    const userErrors = [{ code: 'INVALID_INPUT', path: ['input', field] }]
    expect(await create(input)).toEqual({ token: null, portalSession: null, userErrors })
  }
})

test('a revoked portal session opens nothing, and expired ones are forgotten', async () => {
  const { ask, send, create, clock, db, acme, newKey, wake } = await world()
  const [revoked, kept] = [await create({ name: 'revoked', expiresInSeconds: 7200 }), await create({ name: 'kept' })]
  const bound = await newKey({ tenantId: acme })
  let signals = 0
  wake.on('credentials', () => signals++)
  const answer = { portalSessionRevoke: { portalSession: { state: 'REVOKED' }, userErrors: [] } }
  expect(await ask(REVOKE, { id: revoked?.portalSession?.id }, bound)).toEqual(answer)
  expect(signals).toBe(1)
  expect(await ask(REVOKE, { id: revoked?.portalSession?.id }, bound)).toEqual(answer)
  const noted = await db.sql`select 1 from postrider.audit_log where action = 'PORTAL_SESSION_REVOKE'`
  expect(noted).toHaveLength(1)
  expect((await send(WHO, {}, String(revoked?.token))).status).toBe(401)
  expect((await send(WHO, {}, String(kept?.token))).status).toBe(200)

  clock.forward(3_600_000)
  const [ofRevoked, ofKept] = [
    { name: 'revoked', state: 'REVOKED' },
    { name: 'kept', state: 'EXPIRED' },
  ]
  expect(await ask(LIST, {}, bound)).toEqual({ portalSessions: { nodes: [ofKept, ofRevoked] } })
  expect(await ask(LIST, { filter: { states: ['REVOKED'] } })).toEqual({ portalSessions: { nodes: [ofRevoked] } })
  await dropExpiredSessions(db.orm, clock.now())
  expect(await ask(LIST)).toEqual({ portalSessions: { nodes: [ofRevoked] } })
  expect(await ask(REVOKE, { id: kept?.portalSession?.id })).toMatchObject({
    portalSessionRevoke: { userErrors: [{ code: 'NOT_FOUND', path: ['id'] }] },
  })
})
