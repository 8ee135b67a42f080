import { expect, test } from 'vitest'
import { publicId, type TenantId } from '../../schema/ids.ts'
import { startReplay } from '../../src/replays/start.ts'
import { deleteTenant } from '../../src/retention/delete-tenant.ts'
import { sealedOfEndpoints } from '../../src/sealing/columns.ts'
import { createTenant } from '../../src/tenants/save.ts'
import { startApi } from '../graphql/api.ts'
import { openDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { startReceiver } from '../support/receiver.ts'
import { withKey } from '../support/viewer.ts'

type Api = Awaited<ReturnType<typeof startApi>>

/** What is left of a tenant that would keep something going. */
async function leftOf({ db, ticketsIn }: Api, tenant: TenantId) {
  const [left] = await db.sql`
    select
      (select count(*)::int from postrider.endpoints where tenant_id = ${tenant} and (deleted_at is null or backlog)) as endpoints,
      (select count(*)::int from postrider.secrets where tenant_id = ${tenant}) as secrets,
      (select count(*)::int from postrider.deliveries where tenant_id = ${tenant} and (state = 'PENDING' or ticket_id is not null or waiting_for is not null)) as deliveries,
      (select count(*)::int from postrider.events where tenant_id = ${tenant} and routed_at is null) as events,
      (select count(*)::int from postrider.lane_outbox where tenant_id = ${tenant}) as noted,
      (select count(*)::int from postrider.lanes where endpoint_id in (select id from postrider.endpoints where tenant_id = ${tenant})) as lanes,
      (select count(*)::int from postrider.replays where tenant_id = ${tenant} and next_turn_at is not null) as replays,
      (select count(*)::int from postrider.api_keys where tenant_id = ${tenant} and revoked_at is null) as keys,
      (select count(*)::int from postrider.portal_sessions where tenant_id = ${tenant} and revoked_at is null) as sessions`
  return { ...left, outbox: await ticketsIn('outbox') }
}

const NOTHING = {
  endpoints: 0,
  secrets: 0,
  deliveries: 0,
  events: 0,
  noted: 0,
  lanes: 0,
  replays: 0,
  keys: 0,
  sessions: 0,
  outbox: 0,
}

test('nothing of a deleted tenant keeps going, whatever was under way, and its history stays', async () => {
  const api = await startApi({ worker: true, replaysPerSecond: 50 })
  const { ask, send, db, admin, newKey, publisher, tenantId } = api
  const receiver = await startReceiver()
  const acme = (await createTenant(api, await withKey(db, admin), { key: 'acme' })).id
  const key = await newKey({ tenantId: acme, scopes: ['PUBLISH', 'MANAGE'] })
  const create = async (input: object) =>
    (
      await ask(
        'mutation ($input: EndpointCreateInput!) { endpointCreate(input: $input) { endpoint { id } userErrors { message } } }',
        { input: { tenant: 'acme', url: receiver.url, ...input } },
      )
    ).endpointCreate?.endpoint?.id
  const [plain, paused] = [await create({}), await create({ eventTypes: ['waits'] })]
  await create({ ordering: 'PER_KEY', retry: { delaysSeconds: [3600] }, url: new URL('/ordered', receiver.url).href })
  await ask('mutation ($id: ID!) { endpointPause(id: $id) { userErrors { code } } }', { id: paused })
  receiver.answers(({ path }) => (path === '/ordered' ? 500 : 200))
  const inputs = (type: string) =>
    Array.from({ length: 300 }, (_, n) => ({ tenantId: acme, type, payload: n, orderingKey: `key ${n % 3}` }))
  await publisher.publishBatch(inputs('waits'))
  await publisher.publishBatch(inputs('waits'))
  await publisher.publishBatch(inputs('goes'))
  await eventually(async () => {
    const [row] =
      await db.sql`select count(*)::int as count from postrider.deliveries where state = 'DELIVERED' and event_type = 'goes'`
    expect(row?.count).toBe(300)
  }, 15_000)
  await startReplay(api, admin, acme, { deliveries: { endpointIds: [String(plain)], states: ['DELIVERED'] } })
  await startReplay(api, admin, acme, { deliveries: { endpointIds: [String(plain)], states: ['DELIVERED'] } })

  // Producers go on all the while, and are told when it is over.
  let over = 0
  const produce = async () => {
    for (;;) {
      const answer = await send(
        'mutation { eventPublish(input: { type: "goes", payload: 1, orderingKey: "a" }) { userErrors { code } } }',
        {},
        key,
      )
      if (answer.status === 401) return over++
      expect(answer.errors).toBeUndefined()
    }
  }
  const producing = [produce(), produce(), produce()]
  await eventually(async () =>
    expect((await db.sql`select from postrider.events where type = 'goes'`).length).toBeGreaterThan(320),
  )
  await deleteTenant(api, admin, acme)
  await Promise.all(producing)
  expect(over).toBe(3)

  await eventually(async () => expect(await leftOf(api, acme)).toEqual(NOTHING), 15_000)
  const requests = receiver.requests.length
  const [history] = await db.sql`
    select count(*) filter (where state = 'CANCELLED')::int as cancelled, count(*) filter (where state = 'DELIVERED')::int as delivered
    from postrider.deliveries where tenant_id = ${acme}`
  expect(history?.cancelled).toBeGreaterThanOrEqual(600 + 900)
  expect(history?.delivered).toBeGreaterThanOrEqual(900)
  const [told] = await db.sql`select details from postrider.audit_log where action = 'TENANT_DELETE'`
  expect(told?.details).toMatchObject({ key: 'acme', endpoints: 3, apiKeys: 1 })

  // Its neighbours have not noticed.
  await api.addEndpoint(receiver.url)
  await publisher.publish({ tenantId, type: 'goes', payload: 1 })
  await eventually(() => expect(receiver.requests.length).toBeGreaterThan(requests))
})

test('whatever is made for a tenant that is just being deleted goes with it, or is not made', async () => {
  const api = await startApi()
  const { ask, admin, db } = api
  const made = { before: 0, refused: 0 }
  const gone: TenantId[] = []
  for (let round = 0; round < 15; round++) {
    const { id } = await createTenant(api, await withKey(db, admin), { key: 'acme' })
    gone.push(id)
    const makings = [
      'endpointCreate(input: { tenant: "acme", url: "https://example.com" })',
      'apiKeyCreate(input: { tenant: "acme", name: "one", scopes: [ADMIN] })',
      'portalSessionCreate(input: { tenant: "acme", scope: MANAGE })',
    ].flatMap((making) => [making, making])
    const asked = makings.map(async (making) => {
      const { answer } = await ask<{ answer: { userErrors: { code: string }[] } }>(
        `mutation { answer: ${making} { userErrors { code } } }`,
      )
      if (answer.userErrors.length === 0) made.before++
      else made.refused += answer.userErrors[0]?.code === 'NOT_FOUND' ? 1 : 1000
    })
    // A little later each time, so that every order comes about.
    const deleting = new Promise((resolve) => setTimeout(resolve, round)).then(() => deleteTenant(api, admin, id))
    await Promise.all([...asked, deleting])
  }
  for (const id of gone) expect(await leftOf(api, id), publicId('ten', id)).toEqual(NOTHING)
  expect(made.before + made.refused).toBe(90)
  expect(await db.sql`select from postrider.tenants where deleted_at is null`).toHaveLength(2)
})

test('no replay starts for a tenant that was deleted while it was asked for', async () => {
  const api = await startApi()
  const { db, admin } = api
  const { id } = await createTenant(api, await withKey(db, admin), { key: 'acme' })
  await deleteTenant(api, admin, id)
  await expect(startReplay(api, admin, id, { deliveries: {} })).rejects.toMatchObject({
    code: 'NOT_FOUND',
    path: ['input', 'tenant'],
  })
  expect(await db.sql`select from postrider.replays`).toHaveLength(0)
})

test('an event that is written after its tenant was deleted is routed to nobody', async () => {
  const api = await startApi({ worker: true })
  const { db, admin, publisher } = api
  const { id } = await createTenant(api, await withKey(db, admin), { key: 'acme' })
  await deleteTenant(api, admin, id)
  // As a producer whose request had been let in before.
  await publisher.publish({ tenantId: id, type: 'late', payload: 1 })
  await eventually(async () => expect(await leftOf(api, id)).toEqual(NOTHING))
  expect(await db.sql`select from postrider.events where tenant_id = ${id} and routed_at is not null`).toHaveLength(1)
})

test('whatever endpoints keep sealed is erased with them, and with their tenant', async () => {
  const api = await startApi()
  const acme = (await createTenant(api, await withKey(api.db, api.admin), { key: 'acme' })).id
  const create = async () =>
    (
      await api.ask('mutation ($input: EndpointCreateInput!) { endpointCreate(input: $input) { endpoint { id } } }', {
        input: {
          tenant: 'acme',
          url: 'https://example.com',
          headers: [{ name: 'x-key', value: 'a value' }],
          credentials: { bearer: { token: 'a-token' } },
          signing: { ed25519: true },
        },
      })
    ).endpointCreate?.endpoint?.id
  const left = async () => {
    const counts = sealedOfEndpoints().map(
      async ({ table }) =>
        (await api.db.sql`select from postrider.${api.db.sql(table)} where tenant_id = ${acme}`).length,
    )
    return Promise.all(counts)
  }
  const [first] = [await create(), await create(), await create()]
  expect(await left()).toEqual([3, 6, 6])
  await api.ask('mutation ($id: ID!) { endpointDelete(id: $id) { userErrors { code } } }', { id: first })
  expect(await left()).toEqual([2, 4, 4])
  await deleteTenant(api, api.admin, acme)
  expect(await left()).toEqual([0, 0, 0])
})

test('no table of what endpoints keep sealed is forgotten', async () => {
  const { sql } = await openDatabase()
  const tables = await sql`
    select table_name as name from information_schema.columns
    where table_schema = 'postrider' and column_name in ('endpoint_id', 'sealed') group by 1 having count(*) = 2`
  expect(tables.map(({ name }) => name).sort()).toEqual(
    sealedOfEndpoints()
      .map(({ table }) => table)
      .sort(),
  )
})
