import { and, eq, isNull, sql } from 'drizzle-orm'
import type { PgUpdateSetSource } from 'drizzle-orm/pg-core'
import { type EndpointId, newId, publicId, type TenantId } from '../../schema/ids.ts'
import { endpoints } from '../../schema/tables/endpoints.ts'
import { Mistake } from '../mistake.ts'
import type { Db } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import type { Wake } from '../queue/wake.ts'
import type { Sealer } from '../sealing/sealer.ts'
import type { Reach } from '../tenants/access.ts'
import { inReach } from '../tenants/reach.ts'
import { finishDeletion } from './cancel.ts'
import type { Endpoint } from './find.ts'
import { type EndpointSettings, readNewSettings, readSettings, type SettingRules } from './input.ts'
import { chooseSecret, eraseSecrets, storeSecret } from './secrets.ts'

export type SaveContext = SettingRules & {
  db: Pick<Db, 'orm'>
  sealer: Pick<Sealer, 'seal'>
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

export type NewEndpoint = EndpointSettings & { url: string; secret?: string | null | undefined }

/** Makes an endpoint and its signing secret, which is returned in the clear this once. */
export async function createEndpoint(
  context: SaveContext,
  tenantId: TenantId,
  input: NewEndpoint,
): Promise<{ endpoint: Endpoint; secret: string }> {
  const { db, sealer, clock } = context
  const { secret: given, ...settings } = input
  const columns = readNewSettings(settings, ['input'], context)
  const secret = chooseSecret(given, ['input', 'secret'])
  const now = clock.now()
  const endpoint = await db.orm.transaction(async (tx) => {
    const row = { id: newId<'ep'>(now), tenantId, ...columns, createdAt: now, updatedAt: now }
    const [created] = await tx.insert(endpoints).values(row).returning()
    await storeSecret(tx, sealer, { tenantId, endpointId: row.id }, secret, now)
    return created as Endpoint
  })
  return { endpoint, secret }
}

/** Changes what the input mentions: absent is unchanged, null back to the default. */
export async function updateEndpoint(
  context: SaveContext,
  reach: Reach,
  id: EndpointId,
  input: EndpointSettings,
): Promise<Endpoint> {
  const settings = readSettings(input, ['input'], context)
  // What the old address answered says nothing about the new one.
  const start = settings.url === undefined ? {} : NEW_START
  // The flag makes the promoter look at lanes that are blocked.
  const look = settings.onBlocked === undefined ? {} : { backlog: true }
  const order = settings.ordering === undefined ? {} : { orderingChangedAt: context.clock.now() }
  return change(context, reach, id, { ...settings, ...start, ...look, ...order })
}

/** Deliveries go on being created, and wait. A disabled endpoint stays disabled: nothing is sent to it anyway. */
export async function pauseEndpoint(context: SaveContext, reach: Reach, id: EndpointId): Promise<Endpoint> {
  return change(context, reach, id, {
    state: sql`case ${endpoints.state} when 'ACTIVE' then 'PAUSED' else ${endpoints.state} end`,
  })
}

/** What waits goes out again: the backlog flag makes the promoter look at it. */
export async function resumeEndpoint(context: SaveContext, reach: Reach, id: EndpointId): Promise<Endpoint> {
  // Its health is what it last was: whoever was told of the failure is told when it is over.
  return change(context, reach, id, {
    state: 'ACTIVE',
    disabledReason: null,
    disabledAt: null,
    ...NEW_START,
    backlog: true,
  })
}

/**
 * The endpoint is gone for everybody, its secrets are erased, what was pending for it is cancelled; history stays. A large
 * backlog is cancelled bit by bit: the flag makes the promoter finish it.
 */
export async function deleteEndpoint(
  { db, wake, clock }: SaveContext,
  reach: Reach,
  id: EndpointId,
): Promise<Endpoint> {
  const now = clock.now()
  // Committed first: whoever routes reads it no more, and those who are at it are done in a moment.
  const deleted = await db.orm.transaction(async (tx) => {
    const changes = { deletedAt: now, updatedAt: now, backlog: true }
    const [gone] = await tx.update(endpoints).set(changes).where(living(reach, id)).returning()
    if (!gone) throw notFound(id)
    await eraseSecrets(tx, id)
    return gone
  })
  // Should that fail, or not be all, the flag makes the promoter finish it.
  await finishDeletion(db, id, now).catch(() => {})
  wake.signal('promote')
  return deleted
}

async function change(
  { db, wake, clock }: SaveContext,
  reach: Reach,
  id: EndpointId,
  changes: PgUpdateSetSource<typeof endpoints>,
): Promise<Endpoint> {
  const [changed] = await db.orm
    .update(endpoints)
    .set({ ...changes, updatedAt: clock.now() })
    .where(living(reach, id))
    .returning()
  if (!changed) throw notFound(id)
  wake.signal('promote')
  return changed
}

const living = (reach: Reach, id: EndpointId) =>
  and(inReach(endpoints.tenantId, reach), eq(endpoints.id, id), isNull(endpoints.deletedAt))

const notFound = (id: EndpointId) => new Mistake('NOT_FOUND', ['id'], `There is no endpoint ${publicId('ep', id)}.`)
