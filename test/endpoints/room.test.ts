import { expect, test } from 'vitest'
import { MOST_ENDPOINTS } from '../../src/endpoints/room.ts'
import { startApi } from '../graphql/api.ts'

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
