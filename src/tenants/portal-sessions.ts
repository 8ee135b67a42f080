import { randomBytes } from 'node:crypto'
import { and, eq, getTableColumns, isNull, lte, type SQL } from 'drizzle-orm'
import { type ApiKeyId, newId, type PortalSessionId, publicId, type TenantId } from '../../schema/ids.ts'
import type { AuditAction, PortalScope } from '../../schema/states.ts'
import { portalSessions } from '../../schema/tables/portal-sessions.ts'
import { recordAction } from '../audit/record.ts'
import { type NumberRange, type Optional, readWhole } from '../input.ts'
import { Mistake } from '../mistake.ts'
import type { Db, Orm } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { again } from '../postgres/deadlock.ts'
import type { Wake } from '../queue/wake.ts'
import { reachOf, type Viewer } from './access.ts'
import { bearerText, hashOf } from './bearer-text.ts'
import { holdMaker, holdTenant } from './hold.ts'
import { readActorName } from './input.ts'
import { inReach } from './reach.ts'

export type AccessContext = { db: Pick<Db, 'orm'>; wake: Pick<Wake, 'signal'>; clock: Clock }

const { hash: _, ...columns } = getTableColumns(portalSessions)

/** What is read of a portal session: all but its hash, which only `authenticate` needs. */
export const PORTAL_SESSION_COLUMNS = columns
export type PortalSessionRow = Omit<typeof portalSessions.$inferSelect, 'hash'>

export type NewPortalSession = {
  scope: PortalScope
  expiresInSeconds?: Optional<number>
  name?: Optional<string>
}

const DEFAULT_SECONDS = 3600
export const LIFETIME: NumberRange = { from: 60, to: 86_400, unit: 'seconds', like: 3600 }
const DEFAULT_NAME = 'portal session'

/**
 * Makes a short-lived token for the portal of one tenant; returns it this once. The key that makes it takes it along when it is
 * revoked. Mistakes: INVALID_INPUT, NOT_FOUND where the tenant was deleted meanwhile, UNAUTHENTICATED where the key was revoked.
 */
export async function createPortalSession(
  { db, clock }: AccessContext,
  viewer: Viewer,
  tenantId: TenantId,
  input: NewPortalSession,
): Promise<{ portalSession: PortalSessionRow; token: string }> {
  const seconds = readWhole(input.expiresInSeconds ?? DEFAULT_SECONDS, LIFETIME, ['input', 'expiresInSeconds'])
  const name = readActorName(input.name ?? DEFAULT_NAME, ['input', 'name'])
  const now = clock.now()
  const token = bearerText('prs', randomBytes(32))
  const portalSession = await db.orm.transaction(async (tx) => {
    await holdTenant(tx, tenantId)
    await holdMaker(tx, viewer, now)
    const row = { id: newId<'pts'>(now), tenantId, apiKeyId: viewer.id as ApiKeyId, name, scope: input.scope }
    const times = { createdAt: now, expiresAt: new Date(now.getTime() + seconds * 1000) }
    const [made] = await tx
      .insert(portalSessions)
      .values({ ...row, ...times, hash: hashOf(token) })
      .returning(PORTAL_SESSION_COLUMNS)
    const details = { name, scope: input.scope, expiresAt: times.expiresAt.toISOString() }
    await recordAction(tx, viewer, { ...about('PORTAL_SESSION_CREATE', row), details }, now)
    return made as PortalSessionRow
  })
  return { portalSession, token }
}

/**
 * Ends a portal session at once; one that is revoked already stays as it is, and nothing is noted. Mistakes: NOT_FOUND at `id`;
 * UNAUTHENTICATED where that of the request was revoked meanwhile.
 */
export async function revokePortalSession(
  { db, wake, clock }: AccessContext,
  viewer: Viewer,
  id: PortalSessionId,
): Promise<PortalSessionRow> {
  const now = clock.now()
  const revoke = async (tx: Pick<Orm, 'select' | 'insert' | 'update'>) => {
    await holdMaker(tx, viewer, now)
    const [session] = await tx
      .select(PORTAL_SESSION_COLUMNS)
      .from(portalSessions)
      .where(and(inReach(portalSessions.tenantId, reachOf(viewer)), eq(portalSessions.id, id)))
      .for('update')
    if (!session) throw new Mistake('NOT_FOUND', ['id'], 'There is no such portal session.')
    if (session.revokedAt !== null) return session
    const [row] = await tx
      .update(portalSessions)
      .set({ revokedAt: now })
      .where(eq(portalSessions.id, id))
      .returning(PORTAL_SESSION_COLUMNS)
    await recordAction(tx, viewer, { ...about('PORTAL_SESSION_REVOKE', session), details: { name: session.name } }, now)
    return row as PortalSessionRow
  }
  const revoked = await again(() => db.orm.transaction(revoke))
  wake.signal('credentials')
  return revoked
}

/** With a key go the portal sessions that it made. */
export function revokeSessionsOfKey(orm: Pick<Orm, 'update'>, key: ApiKeyId, now: Date): Promise<number> {
  return revokeWhere(orm, eq(portalSessions.apiKeyId, key), now)
}

/** With a tenant go its portal sessions. Returns how many they were. */
export function revokeSessionsOfTenant(orm: Pick<Orm, 'update'>, tenant: TenantId, now: Date): Promise<number> {
  return revokeWhere(orm, eq(portalSessions.tenantId, tenant), now)
}

/** Forgets portal sessions that have expired. */
export async function dropExpiredSessions(orm: Pick<Orm, 'delete'>, now: Date): Promise<void> {
  await again(async () => orm.delete(portalSessions).where(lte(portalSessions.expiresAt, now)))
}

async function revokeWhere(orm: Pick<Orm, 'update'>, which: SQL, now: Date): Promise<number> {
  const revoked = await orm
    .update(portalSessions)
    .set({ revokedAt: now })
    .where(and(which, isNull(portalSessions.revokedAt)))
    .returning({ id: portalSessions.id })
  return revoked.length
}

const about = (action: AuditAction, { id, tenantId }: { id: PortalSessionId; tenantId: TenantId }) => ({
  action,
  tenantId,
  object: publicId('pts', id),
})
