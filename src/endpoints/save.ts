import { isDeepStrictEqual } from 'node:util'
import { and, eq, isNull, sql } from 'drizzle-orm'
import type { PgUpdateSetSource } from 'drizzle-orm/pg-core'
import { type EndpointId, newId, publicId, type TenantId } from '../../schema/ids.ts'
import type { AuditAction } from '../../schema/states.ts'
import { endpoints } from '../../schema/tables/endpoints.ts'
import { recordAction } from '../audit/record.ts'
import { readAll } from '../mistake.ts'
import type { Db, Orm } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import type { Wake } from '../queue/wake.ts'
import type { Sealer } from '../sealing/sealer.ts'
import { reachOf, type Viewer } from '../tenants/access.ts'
import { holdTenant } from '../tenants/hold.ts'
import { inReach } from '../tenants/reach.ts'
import { finishDeletion } from './cancel.ts'
import { type CredentialSettings, readCredentials, saveCredentials } from './credentials.ts'
import { eraseSealed } from './erase-sealed.ts'
import { forgetFaults } from './filter-faults.ts'
import { type Endpoint, endpointNotFound } from './find.ts'
import {
  type EndpointColumns,
  type EndpointSettings,
  readNewSettings,
  readSettings,
  type SettingRules,
} from './input.ts'
import { checkRoom } from './room.ts'
import { chooseSecret, storeSecret } from './secrets.ts'
import { saveSigning } from './signing.ts'

export type SaveContext = SettingRules & {
  db: Pick<Db, 'orm'>
  sealer: Pick<Sealer, 'seal' | 'open'>
  wake: Pick<Wake, 'signal'>
  clock: Clock
}

const NEW_START = {
  failingSince: null,
  failedAttempts: 0,
  allowance: null,
  allowanceReason: null,
  allowanceChangedAt: null,
} as const

export type NewEndpoint = EndpointSettings & CredentialSettings & { url: string; secret?: string | null | undefined }

/** Makes an endpoint with its credentials and its signing secret, which is returned in the clear this once. */
export async function createEndpoint(
  context: SaveContext,
  viewer: Viewer,
  tenantId: TenantId,
  input: NewEndpoint,
): Promise<{ endpoint: Endpoint; secret: string }> {
  const { db, sealer, clock, urlRules } = context
  const { secret: given, ...settings } = input
  const now = clock.now()
  const { columns, secret, credentials } = readAll({
    columns: () => readNewSettings(settings, ['input'], context),
    secret: () => chooseSecret(given, ['input', 'secret']),
    credentials: () => readCredentials(settings, ['input'], { urlRules, now, isNew: true }),
  })
  const endpoint = await db.orm.transaction(async (tx) => {
    await holdTenant(tx, tenantId)
    const row = { id: newId<'ep'>(now), tenantId, ...columns, createdAt: now, updatedAt: now }
    const [created] = await tx.insert(endpoints).values(row).returning()
    await storeSecret(tx, sealer, { tenantId, endpointId: row.id }, secret, now)
    const told = {
      ...(await saveCredentials(tx, sealer, { ...row, urlBefore: null }, credentials, now)),
      ...(await saveSigning(tx, sealer, { before: null, after: created as Endpoint }, now)),
    }
    await recordAction(tx, viewer, { ...about('ENDPOINT_CREATE', row), details: { url: row.url, ...told } }, now)
    await checkRoom(tx, tenantId)
    return created as Endpoint
  })
  return { endpoint, secret }
}

/** Changes what the input mentions: absent is unchanged, null back to the default. */
export async function updateEndpoint(
  context: SaveContext,
  viewer: Viewer,
  id: EndpointId,
  input: EndpointSettings & CredentialSettings,
): Promise<Endpoint> {
  const { urlRules, sealer, clock } = context
  const { settings, credentials } = readAll({
    settings: () => readSettings(input, ['input'], context),
    credentials: () => readCredentials(input, ['input'], { urlRules, now: clock.now(), isNew: false }),
  })
  // What the old address answered says nothing about the new one.
  const start = settings.url === undefined ? {} : NEW_START
  // The flag makes the promoter look at lanes that are blocked.
  const look = settings.onBlocked === undefined ? {} : { backlog: true }
  const order = settings.ordering === undefined ? {} : { orderingChangedAt: clock.now() }
  const changes = { ...settings, ...start, ...look, ...order }
  const { url, signsStandard, signsEd25519, alsoSigns } = settings
  const mentioned = [url, signsStandard, signsEd25519, alsoSigns, ...Object.values(credentials)]
  const also: Told['also'] = async (tx, { before, after }) => ({
    ...(await saveCredentials(tx, sealer, { ...after, urlBefore: before.url }, credentials, clock.now())),
    ...(await saveSigning(tx, sealer, { before, after }, clock.now())),
  })
  const more = mentioned.some((value) => value !== undefined) ? { also } : {}
  return change(context, viewer, id, changes, { action: 'ENDPOINT_UPDATE', settings, ...more })
}

/** Deliveries go on being created, and wait. A disabled endpoint stays disabled: nothing is sent to it anyway. */
export async function pauseEndpoint(context: SaveContext, viewer: Viewer, id: EndpointId): Promise<Endpoint> {
  const state = sql`case ${endpoints.state} when 'ACTIVE' then 'PAUSED' else ${endpoints.state} end`
  return change(context, viewer, id, { state }, { action: 'ENDPOINT_PAUSE' })
}

/** What waits goes out again: the backlog flag makes the promoter look at it. */
export async function resumeEndpoint(context: SaveContext, viewer: Viewer, id: EndpointId): Promise<Endpoint> {
  // Its health is what it last was: whoever was told of the failure is told when it is over.
  const active = { state: 'ACTIVE', disabledReason: null, disabledAt: null, backlog: true } as const
  return change(context, viewer, id, { ...active, ...NEW_START }, { action: 'ENDPOINT_RESUME' })
}

/**
 * The endpoint is gone for everybody, its secrets are erased, what was pending for it is cancelled; history stays. A large
 * backlog is cancelled bit by bit: the flag makes the promoter finish it.
 */
export async function deleteEndpoint(
  { db, wake, clock }: SaveContext,
  viewer: Viewer,
  id: EndpointId,
): Promise<Endpoint> {
  const now = clock.now()
  // Committed first: whoever routes reads it no more, and those who are at it are done in a moment.
  const deleted = await db.orm.transaction(async (tx) => {
    const changes = { deletedAt: now, updatedAt: now, backlog: true }
    const [gone] = await tx.update(endpoints).set(changes).where(living(viewer, id)).returning()
    if (!gone) throw endpointNotFound(id)
    await eraseSealed(tx, [id])
    await recordAction(tx, viewer, about('ENDPOINT_DELETE', gone), now)
    return gone
  })
  // Should that fail, or not be all, the flag makes the promoter finish it.
  await finishDeletion(db, id, now).catch(() => {})
  wake.signal('promote')
  return deleted
}

type Told = {
  action: AuditAction
  settings?: Partial<EndpointColumns>
  also?: (
    tx: Pick<Orm, 'select' | 'insert' | 'delete'>,
    change: { before: Endpoint; after: Endpoint },
  ) => Promise<Record<string, unknown>>
}

/** `settings`: what is told of the change in the audit log, beside what was there before; `also` does more, and says what. */
async function change(
  { db, wake, clock }: SaveContext,
  viewer: Viewer,
  id: EndpointId,
  changes: PgUpdateSetSource<typeof endpoints>,
  { action, settings = {}, also }: Told,
): Promise<Endpoint> {
  const now = clock.now()
  const changed = await db.orm.transaction(async (tx) => {
    const [before] = await tx.select().from(endpoints).where(living(viewer, id)).for('no key update')
    if (!before) throw endpointNotFound(id)
    const [after] = await tx
      .update(endpoints)
      .set({ ...changes, updatedAt: now })
      .where(eq(endpoints.id, id))
      .returning()
    if (settings.filter !== undefined && settings.filter !== before.filter) await forgetFaults(tx, id)
    const told = await also?.(tx, { before, after: after as Endpoint })
    const details = { ...differences(before, settings), ...told }
    await recordAction(tx, viewer, { ...about(action, before), details }, now)
    return after as Endpoint
  })
  wake.signal('promote')
  return changed
}

/** Each setting that is not what it was: `{ url: { from, to } }`. */
function differences(before: Endpoint, settings: Partial<EndpointColumns>): Record<string, unknown> {
  const changed = Object.entries(settings).flatMap(([name, to]) => {
    const from = before[name as keyof Endpoint]
    return isDeepStrictEqual(from, to) ? [] : [[name, { from, to }]]
  })
  return Object.fromEntries(changed)
}

const about = (action: AuditAction, { id, tenantId }: Pick<Endpoint, 'id' | 'tenantId'>) => ({
  action,
  tenantId,
  object: publicId('ep', id),
})

export const living = (viewer: Viewer, id: EndpointId) =>
  and(inReach(endpoints.tenantId, reachOf(viewer)), eq(endpoints.id, id), isNull(endpoints.deletedAt))
