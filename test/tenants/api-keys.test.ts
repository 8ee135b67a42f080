import { expect, test } from 'vitest'
import type { Scope } from '../../schema/states.ts'
import { SYSTEM } from '../../src/audit/actor.ts'
import type { Orm } from '../../src/postgres/client.ts'
import { may, mayListEveryTenant, type Viewer } from '../../src/tenants/access.ts'
import { makeApiKey } from '../../src/tenants/api-keys.ts'
import { authenticate } from '../../src/tenants/authenticate.ts'
import { bearerText, formOf, hintOf } from '../../src/tenants/bearer-text.ts'
import { ensureTenants } from '../../src/tenants/find.ts'
import { ensureFirstKey } from '../../src/tenants/first-key.ts'
import { createPortalSession } from '../../src/tenants/portal-sessions.ts'
import { openDatabase } from '../support/database.ts'
import { viewerOf } from '../support/viewer.ts'

const now = new Date('2026-11-20T12:00:00Z')
/** Who is let in with a text at a moment. */
const open = (orm: Orm, text: string, at = now) => authenticate({ orm, now: at, address: null }, text)
const viewerWith = (...scopes: Scope[]) => viewerOf(null, scopes)

test.each`
  has          | publish  | read     | manage   | admin
  ${'PUBLISH'} | ${true}  | ${false} | ${false} | ${false}
  ${'READ'}    | ${false} | ${true}  | ${false} | ${false}
  ${'MANAGE'}  | ${false} | ${true}  | ${true}  | ${false}
  ${'ADMIN'}   | ${true}  | ${true}  | ${true}  | ${true}
`(
  '$has may publish: $publish, read: $read, manage: $manage, admin: $admin',
  ({ has, publish, read, manage, admin }) => {
    const viewer = viewerWith(has)
    expect([may(viewer, 'PUBLISH'), may(viewer, 'READ'), may(viewer, 'MANAGE'), may(viewer, 'ADMIN')]).toEqual([
      publish,
      read,
      manage,
      admin,
    ])
  },
)

test('only an instance-wide ADMIN may list every tenant', () => {
  expect(mayListEveryTenant(viewerWith('ADMIN'))).toBe(true)
  expect(mayListEveryTenant(viewerWith('MANAGE', 'PUBLISH'))).toBe(false)
  expect(mayListEveryTenant({ ...viewerWith('ADMIN'), tenantId: 't' as never })).toBe(false)
})

test('what callers show has a form that scanners can tell from chance', () => {
  for (const prefix of ['prk', 'prs'] as const) {
    const text = bearerText(prefix, Buffer.alloc(32, 255))
    expect(text).toMatch(new RegExp(`^${prefix}_[0-9A-Za-z]{49}$`))
    expect(formOf(text)).toBe(prefix)
    expect(hintOf(text)).toBe(text.slice(0, 8))
    expect(formOf(`${text.slice(0, -1)}${text.endsWith('0') ? '1' : '0'}`)).toBeNull()
    expect(bearerText(prefix, Buffer.alloc(32, 0))).toMatch(new RegExp(`^${prefix}_[0-9A-Za-z]{49}$`))
  }
  expect(hintOf('a-key-that-somebody-made-up')).toBeNull()
})

test('a key opens, until it expires or is revoked, and only a hash of it is kept', async () => {
  const { orm, sql } = await openDatabase()
  const { key } = await makeApiKey(
    orm,
    SYSTEM,
    { tenantId: null, name: 'billing', scopes: ['READ'], expiresAt: new Date(now.getTime() + 1000) },
    now,
  )

  expect(await open(orm, key)).toMatchObject({ name: 'billing', tenantId: null, scopes: ['READ'] })
  expect(await open(orm, key, new Date(now.getTime() + 1000))).toBeNull()
  expect(await open(orm, `${key}x`)).toBeNull()
  expect(await open(orm, '')).toBeNull()
  expect(await open(orm, 'x'.repeat(100_000))).toBeNull()

  const [row] = await sql`select row_to_json(k)::text as text from postrider.api_keys k where name = 'billing'`
  expect(row?.text).not.toContain(key.slice(4, 20))

  await sql`update postrider.api_keys set revoked_at = ${now.toISOString()}`
  expect(await open(orm, key)).toBeNull()
})

test('a fresh installation gets one admin key, shown once, however many processes start at once', async () => {
  const { orm } = await openDatabase()
  const printed = await Promise.all([1, 2, 3, 4].map(() => ensureFirstKey(orm, { given: null, now })))
  const [key, ...others] = printed.filter((text) => text !== null)
  expect(others).toEqual([])
  expect(await open(orm, key as string)).toMatchObject({ tenantId: null, scopes: ['ADMIN'] })
  expect(await ensureFirstKey(orm, { given: null, now })).toBeNull()
})

test('a given admin key opens until another one is given in its place, and again when it is given again', async () => {
  const { orm, sql } = await openDatabase()
  const opens = async (text: string) => (await open(orm, text)) !== null
  const give = (given: string) => ensureFirstKey(orm, { given, now })
  await give('the-first-admin-key')
  expect(await give('the-first-admin-key')).toBeNull()
  expect(await opens('the-first-admin-key')).toBe(true)
  await give('the-second-admin-key')
  expect([await opens('the-first-admin-key'), await opens('the-second-admin-key')]).toEqual([false, true])
  await give('the-first-admin-key')
  expect([await opens('the-first-admin-key'), await opens('the-second-admin-key')]).toEqual([true, false])
  expect(await sql`select 1 from postrider.api_keys`).toHaveLength(2)
})

test('with a given admin key go the portal sessions that it made, when another one is given', async () => {
  const db = await openDatabase()
  const { orm } = db
  const { defaultTenantId } = await ensureTenants(orm, now)
  await ensureFirstKey(orm, { given: 'the-first-admin-key', now })
  const maker = (await open(orm, 'the-first-admin-key')) as Viewer
  const context = { db, wake: { signal() {} }, clock: { now: () => now } }
  const { token } = await createPortalSession(context, maker, defaultTenantId, { scope: 'READ' })
  expect(await open(orm, token)).toMatchObject({ kind: 'PORTAL_SESSION', scopes: ['READ'] })
  await ensureFirstKey(orm, { given: 'the-second-admin-key', now })
  expect(await open(orm, token)).toBeNull()
})

test('a key that the API has made is refused as that of the environment, and nothing is changed', async () => {
  const { orm, sql } = await openDatabase()
  const printed = (await ensureFirstKey(orm, { given: null, now })) as string
  await sql`update postrider.api_keys set revoked_at = ${now.toISOString()}`
  await expect(ensureFirstKey(orm, { given: printed, now })).rejects.toMatchObject({
    code: 'UNUSABLE_ADMIN_KEY',
    message: expect.stringMatching(/POSTRIDER_ADMIN_KEY .*"first admin key"/),
  })
  expect(await open(orm, printed)).toBeNull()
  expect(await sql`select from postrider.api_keys`).toHaveLength(1)
})
