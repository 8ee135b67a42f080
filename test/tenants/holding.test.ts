import { expect, test } from 'vitest'
import type { ApiKeyId, TenantId } from '../../schema/ids.ts'
import type { Orm } from '../../src/postgres/client.ts'
import type { Viewer } from '../../src/tenants/access.ts'
import { authenticate } from '../../src/tenants/authenticate.ts'
import { ensureTenants } from '../../src/tenants/find.ts'
import { ensureFirstKey } from '../../src/tenants/first-key.ts'
import { createPortalSession, dropExpiredSessions, revokePortalSession } from '../../src/tenants/portal-sessions.ts'
import { createTenant } from '../../src/tenants/save.ts'
import { createApiKey, revokeApiKey } from '../../src/tenants/save-keys.ts'
import { openDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

const now = new Date('2026-11-20T12:00:00Z')
const later = new Date('2026-11-20T13:00:00Z')
const GIVEN = 'the-first-admin-key'

async function world() {
  const db = await openDatabase()
  const { defaultTenantId } = await ensureTenants(db.orm, now)
  await ensureFirstKey(db.orm, { given: GIVEN, now })
  const open = (text: string, at = now) => authenticate({ orm: db.orm, now: at, address: null }, text)
  const context = { db, wake: { signal() {} }, clock: { now: () => now } }
  const admin = (await open(GIVEN)) as Viewer
  const newKey = async (expiresAt: Date | null = null) => {
    const { key } = await createApiKey(context, admin, null, { name: 'one', scopes: ['ADMIN'], expiresAt })
    return (await open(key)) as Viewer
  }
  return { db, context, admin, tenantId: defaultTenantId, newKey, open }
}

type World = Awaited<ReturnType<typeof world>>

/** Each thing that an ADMIN key makes or ends. */
const ACTIONS: Record<string, (world: World, viewer: Viewer, context: World['context']) => Promise<unknown>> = {
  'makes no key': (_, viewer, context) => createApiKey(context, viewer, null, { name: 'heir', scopes: ['ADMIN'] }),
  'makes no portal session': ({ tenantId }, viewer, context) =>
    createPortalSession(context, viewer, tenantId, { scope: 'MANAGE' }),
  'makes no tenant': (_, viewer, context) => createTenant(context, viewer, { key: 'acme' }),
  'revokes no key': ({ admin }, viewer, context) => revokeApiKey(context, viewer, admin.id as ApiKeyId),
  'revokes no portal session': async (world, viewer, context) => {
    const { portalSession } = await createPortalSession(world.context, world.admin, world.tenantId, { scope: 'READ' })
    await revokePortalSession(context, viewer, portalSession.id)
  },
}

const UNAUTHENTICATED = { code: 'UNAUTHENTICATED', path: [], message: expect.stringContaining('revoked') }

test.each(Object.entries(ACTIONS))('a request that was let in before its key ended %s', async (_, act) => {
  const it = await world()
  const [revoked, expiring] = [await it.newKey(), await it.newKey(new Date(now.getTime() + 1000))]
  await revokeApiKey(it.context, it.admin, revoked.id as ApiKeyId)
  await expect(act(it, revoked, it.context)).rejects.toMatchObject(UNAUTHENTICATED)
  const then = { ...it.context, clock: { now: () => later } }
  await expect(act(it, expiring, then)).rejects.toMatchObject(UNAUTHENTICATED)
})

test('a revocation that Postgres chose to give way to another transaction is run again', async () => {
  const it = await world()
  const key = await it.newKey()
  const { portalSession } = await createPortalSession(it.context, it.admin, it.tenantId, { scope: 'READ' })
  const lost = Object.assign(new Error('deadlock detected'), { code: '40P01' })
  let tries = 0
  const losingOnce = <T>(work: () => Promise<T>) => (tries++ % 2 === 0 ? Promise.reject(lost) : work())
  const transaction: Orm['transaction'] = (...work) => losingOnce(() => it.db.orm.transaction(...work))
  const context = { ...it.context, db: { orm: { transaction } as Orm } }
  expect((await revokeApiKey(context, it.admin, key.id as ApiKeyId)).revokedAt).toEqual(now)
  expect((await revokePortalSession(context, it.admin, portalSession.id)).revokedAt).toEqual(now)
  await dropExpiredSessions({ delete: () => ({ where: () => losingOnce(async () => []) }) as never }, now)
  expect(tries).toBe(6)
})

/** Does something, and holds its commit back until `let go` is called. */
function heldBack(orm: Orm) {
  const { promise: open, resolve: letGo } = Promise.withResolvers<void>()
  const { promise: done, resolve: isDone } = Promise.withResolvers<void>()
  const transaction = (work: (tx: never) => Promise<unknown>) =>
    orm.transaction(async (tx) => {
      const made = await work(tx as never)
      isDone()
      await open
      return made
    })
  return { db: { orm: { transaction } as unknown as Orm }, done, letGo }
}

/** Until it waits for somebody else's commit, or has not waited. */
async function waitingOrOver({ db }: World, work: Promise<unknown>): Promise<void> {
  let over = false
  work.then(
    () => (over = true),
    () => (over = true),
  )
  await eventually(async () => {
    const waiting = await db.sql`
      select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    expect(over || waiting.length > 0).toBe(true)
  })
}

test.each(['it is revoked', 'another one is given in its place'])(
  'a key takes along the portal session that it is just making when %s',
  async (how) => {
    const it = await world()
    const other = await it.newKey()
    const ending = heldBack(it.db.orm)
    const making = createPortalSession({ ...it.context, db: ending.db }, it.admin, it.tenantId as TenantId, {
      scope: 'READ',
    })
    await ending.done
    const over =
      how === 'it is revoked'
        ? revokeApiKey(it.context, other, it.admin.id as ApiKeyId)
        : ensureFirstKey(it.db.orm, { given: 'the-second-admin-key', now })
    await waitingOrOver(it, over)
    ending.letGo()
    const { token } = await making
    await over
    expect(await it.open(GIVEN)).toBeNull()
    expect(await it.open(token)).toBeNull()
  },
)
