import { expect, test } from 'vitest'
import { newId } from '../../schema/ids.ts'
import { SYSTEM } from '../../src/audit/actor.ts'
import { deleteTenant } from '../../src/retention/delete-tenant.ts'
import { makeApiKey } from '../../src/tenants/api-keys.ts'
import { findLiving } from '../../src/tenants/living.ts'
import { createPortalSession, revokePortalSession } from '../../src/tenants/portal-sessions.ts'
import { createTenant } from '../../src/tenants/save.ts'
import { startEngine } from '../support/engine.ts'
import { withKey } from '../support/viewer.ts'

test('keys and portal sessions live until they expire or are revoked, or their key or tenant goes', async () => {
  const engine = await startEngine({ worker: false })
  const { db, admin, tenantId } = engine
  const now = new Date('2026-11-20T12:00:00.000Z')
  const key = async (of = tenantId, expiresAt: Date | null = null) =>
    (await makeApiKey(db.orm, SYSTEM, { tenantId: of, name: 'one', scopes: ['ADMIN'], expiresAt }, now)).apiKey.id
  const acme = (await createTenant(engine, await withKey(db, admin), { key: 'acme' })).id
  const soon = new Date(now.getTime() + 1)
  const [plain, expired, expiring, ofAcme] = [
    await key(),
    await key(tenantId, now),
    await key(tenantId, soon),
    await key(acme),
  ]
  const session = async (of = tenantId) =>
    (await createPortalSession(engine, { ...admin, id: plain }, of, { scope: 'READ' })).portalSession
  const [kept, revoked, sessionOfAcme] = [await session(), await session(), await session(acme)]
  await revokePortalSession(engine, admin, revoked.id)
  await deleteTenant(engine, admin, acme)

  const asked = [plain, expired, expiring, ofAcme, kept.id, revoked.id, sessionOfAcme.id, newId<'key'>(now)]
  expect(await findLiving(db.orm, asked, now)).toEqual(
    new Map<string, Date | null>([
      [plain, null],
      [expiring, soon],
      [kept.id, kept.expiresAt],
    ]),
  )
  expect(await findLiving(db.orm, [], now)).toEqual(new Map())
})
