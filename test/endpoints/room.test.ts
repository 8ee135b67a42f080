import { sql } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { checkRoom, MOST_ENDPOINTS } from '../../src/endpoints/room.ts'
import { startApi } from '../graphql/api.ts'
import { eventually } from '../support/eventually.ts'

const CREATE = `mutation ($tenant: String) {
  endpointCreate(input: { url: "https://example.com", tenant: $tenant }) { endpoint { id } userErrors { code path } }
}`
const DELETE = 'mutation ($id: ID!) { endpointDelete(id: $id) { endpoint { id } } }'

test('a tenant has so many endpoints and no more, however many are made at once', async () => {
  const { ask, db, tenantId, newTenant } = await startApi()
  await newTenant('acme')
  const create = async (tenant = 'default') => (await ask(CREATE, { tenant })).endpointCreate
  await db.sql`
    insert into postrider.endpoints (id, tenant_id, url, timeout_seconds, max_in_flight, created_at, updated_at)
    select gen_random_uuid(), ${tenantId}, 'https://example.com/', 15, 20, now(), now() from generate_series(3, ${MOST_ENDPOINTS})`

  const made = await Promise.all(Array.from({ length: 8 }, () => create()))
  const ids = made.flatMap((one) => one?.endpoint?.id ?? [])
  expect(ids).toHaveLength(2)
  const refused = { endpoint: null, userErrors: [{ code: 'TOO_MANY_ENDPOINTS', path: ['input'] }] }
  expect(made.filter((one) => one?.endpoint === null)).toEqual(Array(6).fill(refused))
  const left = await db.sql`select from postrider.secrets`
  expect(left).toHaveLength(2)
  expect(await create('acme')).toMatchObject({ userErrors: [] })

  await ask(DELETE, { id: ids[0] })
  expect(await create()).toMatchObject({ userErrors: [] })
  expect(await create()).toEqual(refused)
})

test('whoever makes the last one keeps others waiting until it is committed', async () => {
  const { ask, db, tenantId } = await startApi()
  await db.sql`
    insert into postrider.endpoints (id, tenant_id, url, timeout_seconds, max_in_flight, created_at, updated_at)
    select gen_random_uuid(), ${tenantId}, 'https://example.com/', 15, 20, now(), now() from generate_series(2, ${MOST_ENDPOINTS})`
  const [made, commit] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const first = db.orm.transaction(async (tx) => {
    await tx.execute(sql`
      insert into postrider.endpoints (id, tenant_id, url, timeout_seconds, max_in_flight, created_at, updated_at)
      values (gen_random_uuid(), ${tenantId}, 'https://example.com/', 15, 20, now(), now())`)
    await checkRoom(tx, tenantId)
    made.resolve()
    await commit.promise
  })
  await made.promise
  const second = ask(CREATE, { tenant: 'default' })
  await eventually(async () => {
    const waiting =
      await db.sql`select from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())`
    expect(waiting).toHaveLength(1)
  })
  commit.resolve()
  await first
  expect((await second).endpointCreate).toMatchObject({ userErrors: [{ code: 'TOO_MANY_ENDPOINTS' }] })
})
