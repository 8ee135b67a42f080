import { expect, test } from 'vitest'
import { publicId } from '../../schema/ids.ts'
import { startApi } from './api.ts'

test('without a valid key nothing is told', async () => {
  const { url, newKey, db, clock } = await startApi()
  const expired = await newKey({ expiresAt: new Date(clock.now().getTime() - 1) })
  const revoked = await newKey({ name: 'revoked' })
  await db.sql`update postrider.api_keys set revoked_at = now() where name = 'revoked'`
  for (const authorization of [
    undefined,
    '',
    'Bearer',
    'Bearer prk_nonsense',
    `Basic ${expired}`,
    `Bearer ${expired}`,
    `Bearer ${revoked}`,
  ]) {
    for (const query of ['{ viewer { id } }', '{ __schema { types { name } } }', '{ nonsense }', '{{{']) {
      const headers = { 'content-type': 'application/json', ...(authorization === undefined ? {} : { authorization }) }
      const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ query }) })
      expect(response.status).toBe(401)
      expect(await response.json()).toEqual({
        errors: [{ message: expect.any(String), extensions: { code: 'UNAUTHENTICATED' } }],
      })
    }
  }
})

test('a revoked key is of no use at once', async () => {
  const { send, newKey, db } = await startApi()
  const key = await newKey({ name: 'short-lived' })
  expect((await send('{ viewer { name } }', {}, key)).data).toEqual({ viewer: { name: 'short-lived' } })
  await db.sql`update postrider.api_keys set revoked_at = now() where name = 'short-lived'`
  expect((await send('{ viewer { name } }', {}, key)).status).toBe(401)
})

test('a viewer is told who he is', async () => {
  const { ask, newKey, newTenant, clock } = await startApi()
  const tenantId = await newTenant('acme')
  const expiresAt = new Date(clock.now().getTime() + 60_000)
  const key = await newKey({ tenantId, name: 'acme portal', scopes: ['MANAGE', 'PUBLISH'], expiresAt })
  expect(await ask('{ viewer { id kind name scopes tenant { id key } expiresAt } }', {}, key)).toEqual({
    viewer: {
      id: expect.stringMatching(/^key_/),
      kind: 'API_KEY',
      name: 'acme portal',
      scopes: ['PUBLISH', 'READ', 'MANAGE'],
      tenant: { id: publicId('ten', tenantId), key: 'acme' },
      expiresAt: expiresAt.toISOString(),
    },
  })
  expect(await ask('{ viewer { tenant { key } expiresAt } }')).toEqual({ viewer: { tenant: null, expiresAt: null } })
})

test('another tenant’s object is as good as absent', async () => {
  const { ask, newKey, newTenant } = await startApi()
  const acme = await newTenant('acme')
  const key = await newKey({ tenantId: acme })
  const { endpointCreate } = await ask(
    'mutation { endpointCreate(input: { url: "https://example.com" }) { endpoint { id tenant { id } } } }',
  )
  const { eventPublish } = await ask('mutation { eventPublish(input: { type: "a", payload: 1 }) { event { id } } }')
  const ids = {
    ep: endpointCreate?.endpoint?.id,
    evt: eventPublish?.event?.id,
    ten: endpointCreate?.endpoint?.tenant?.id,
  }

  for (const id of Object.values(ids)) {
    expect(await ask('query ($id: ID!) { node(id: $id) { id } }', { id })).toEqual({ node: { id } })
    expect(
      await ask(
        'query ($id: ID!) { node(id: $id) { id } endpoint(id: $id) { id } event(id: $id) { id } delivery(id: $id) { id } }',
        { id },
        key,
      ),
    ).toEqual({
      node: null,
      endpoint: null,
      event: null,
      delivery: null,
    })
    for (const [mutation, object] of [
      ['endpointPause', 'endpoint'],
      ['endpointResume', 'endpoint'],
      ['endpointDelete', 'endpoint'],
      ['endpointTest', 'delivery'],
      ['deliveryRetry', 'delivery'],
      ['deliveryCancel', 'delivery'],
    ]) {
      const answer = await ask(
        `mutation ($id: ID!) { answer: ${mutation}(id: $id) { ${object} { id } userErrors { code path } } }`,
        { id },
        key,
      )
      const code = String(id).startsWith(mutation?.startsWith('endpoint') ? 'ep_' : 'dlv_')
        ? 'NOT_FOUND'
        : 'INVALID_INPUT'
      expect(answer, mutation).toEqual({ answer: { [object as string]: null, userErrors: [{ code, path: ['id'] }] } })
    }
    const update = await ask(
      'mutation ($id: ID!) { endpointUpdate(id: $id, input: { description: "mine" }) { userErrors { code } } }',
      { id },
      key,
    )
    const code = String(id).startsWith('ep_') ? 'NOT_FOUND' : 'INVALID_INPUT'
    expect(update).toEqual({ endpointUpdate: { userErrors: [{ code }] } })
  }
  expect(await ask('{ endpoints { nodes { id } } events { nodes { id } } }', {}, key)).toEqual({
    endpoints: { nodes: [] },
    events: { nodes: [] },
  })
})

test('tenant names whose lists are read; "*" is for instance-wide admins', async () => {
  const { ask, send, newKey, newTenant } = await startApi()
  const acme = await newTenant('acme')
  await ask(
    'mutation { a: endpointCreate(input: { url: "https://a.example" }) { secret } b: endpointCreate(input: { url: "https://b.example", tenant: "acme" }) { secret } }',
  )
  const LIST = 'query ($tenant: String) { endpoints(tenant: $tenant) { nodes { url } } }'
  const urls = async (tenant: string | null, key?: string) =>
    (await ask<{ endpoints: { nodes: { url: string }[] } }>(LIST, { tenant }, key)).endpoints.nodes.map(
      (node) => node.url,
    )
  const bound = await newKey({ tenantId: acme })
  const reader = await newKey({ scopes: ['READ'] })

  expect(await urls(null)).toEqual(['https://a.example/'])
  expect(await urls('acme')).toEqual(['https://b.example/'])
  expect(await urls('*')).toEqual(['https://b.example/', 'https://a.example/'])
  expect(await urls(null, bound)).toEqual(['https://b.example/'])
  expect(await urls('acme', bound)).toEqual(['https://b.example/'])
  for (const [tenant, key] of [
    ['*', bound],
    ['default', bound],
    ['*', reader],
    ['nobody', reader],
    ['a\u0000b', reader],
  ] as const) {
    expect((await send(LIST, { tenant }, key)).errors).toMatchObject([
      { extensions: { code: 'NOT_FOUND', path: ['tenant'] } },
    ])
  }
  for (const key of [bound, reader]) {
    const [error] = (await send(LIST, { tenant: '*' }, key)).errors ?? []
    expect(error?.message).toContain('takes an instance-wide key with the scope ADMIN')
  }
})

test('a key that may only publish sees nothing of what becomes of its events', async () => {
  const { send, newKey, db } = await startApi()
  const key = await newKey({ scopes: ['PUBLISH'] })
  const publish = (selection: string) =>
    send(`mutation { eventPublish(input: { type: "a", payload: 1 }) { ${selection} } }`, {}, key)
  for (const selection of [
    'event { id deliveries { nodes { id } } }',
    'event { ...all } } } fragment all on Event { deliveries { nodes { id }',
  ]) {
    const { data, errors } = await publish(selection)
    expect(errors).toMatchObject([
      { extensions: { code: 'FORBIDDEN' }, message: expect.stringContaining('Nothing was') },
    ])
    expect(data ?? null).toBeNull()
  }
  // It would be published again by whoever takes that for a refusal.
  expect(await db.sql`select from postrider.events`).toEqual([])
  expect((await publish('event { id type }')).errors).toBeUndefined()
})
