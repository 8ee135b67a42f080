import { eq } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { CREDENTIAL_STATES } from '../../schema/states.ts'
import { apiKeys } from '../../schema/tables/api-keys.ts'
import { SYSTEM } from '../../src/audit/actor.ts'
import { readPage } from '../../src/postgres/keyset.ts'
import { makeApiKey } from '../../src/tenants/api-keys.ts'
import { authenticate } from '../../src/tenants/authenticate.ts'
import { stateIn, stateOf } from '../../src/tenants/caller-state.ts'
import { listApiKeys } from '../../src/tenants/find-callers.ts'
import { findLiving } from '../../src/tenants/living.ts'
import { openDatabase } from '../support/database.ts'

const now = new Date('2026-11-20T12:00:00.000Z')
const before = new Date(now.getTime() - 1)
const after = new Date(now.getTime() + 1)

const CASES = [
  { revokedAt: null, expiresAt: null, state: 'ACTIVE' },
  { revokedAt: null, expiresAt: after, state: 'ACTIVE' },
  { revokedAt: null, expiresAt: now, state: 'EXPIRED' },
  { revokedAt: null, expiresAt: before, state: 'EXPIRED' },
  // Whatever the clock of this process says of it.
  ...[before, now, after].flatMap((revokedAt) =>
    [null, before, now, after].map((expiresAt) => ({ revokedAt, expiresAt, state: 'REVOKED' })),
  ),
]

test.each(CASES)('revoked $revokedAt, expiring $expiresAt at noon → $state', ({ state, ...ending }) => {
  expect(stateOf(ending, now)).toBe(state)
})

test('the database says the same of every key, and so does everybody who asks', async () => {
  const { orm } = await openDatabase()
  for (const { state, revokedAt, expiresAt } of CASES) {
    const key = { tenantId: null, name: state, scopes: ['READ' as const], expiresAt }
    const made = await makeApiKey(orm, SYSTEM, key, now)
    const { id } = made.apiKey
    await orm.update(apiKeys).set({ revokedAt }).where(eq(apiKeys.id, id))
    const opens = state === 'ACTIVE'
    expect((await findLiving(orm, [id], now)).has(id)).toBe(opens)
    expect((await authenticate({ orm, now, address: null }, made.key)) !== null).toBe(opens)
  }
  const rows = await orm.select({ name: apiKeys.name, state: stateIn(apiKeys, now) }).from(apiKeys)
  expect(rows).toHaveLength(CASES.length)
  for (const { name, state } of rows) expect(state).toBe(name)
  for (const state of CREDENTIAL_STATES) {
    const { edges } = await listApiKeys(orm, 'every', { states: [state] }, readPage({ first: 100 }), now)
    expect(edges.map(({ node }) => [node.name, node.state])).toEqual(
      CASES.filter((one) => one.state === state).map(() => [state, state]),
    )
  }
})
