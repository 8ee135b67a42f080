import { and, eq, isNull } from 'drizzle-orm'
import { newId, publicId, type TenantId } from '../../schema/ids.ts'
import { tenants } from '../../schema/tables/tenants.ts'
import { recordAction } from '../audit/record.ts'
import { Mistake } from '../mistake.ts'
import type { Db } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import type { Viewer } from './access.ts'
import type { Tenant } from './find.ts'
import { holdMaker } from './hold.ts'
import { readName, readTenantKey } from './input.ts'

export type TenantContext = { db: Pick<Db, 'orm'>; clock: Clock }
export type NewTenant = { key: string; name?: string | null | undefined }
export type TenantSettings = { name?: string | null | undefined }

/** Makes a tenant. Mistakes: INVALID_INPUT, TENANT_EXISTS at `input.key`, UNAUTHENTICATED where the key was revoked meanwhile. */
export async function createTenant({ db, clock }: TenantContext, viewer: Viewer, input: NewTenant): Promise<Tenant> {
  const key = readTenantKey(input.key, ['input', 'key'])
  const name = readTenantName(input.name)
  const now = clock.now()
  return db.orm.transaction(async (tx) => {
    await holdMaker(tx, viewer, now)
    const row = { id: newId<'ten'>(now), key, name, createdAt: now }
    const [created] = await tx.insert(tenants).values(row).onConflictDoNothing().returning()
    if (!created) {
      throw new Mistake(
        'TENANT_EXISTS',
        ['input', 'key'],
        `There is a tenant with the key ${JSON.stringify(key)} already.`,
      )
    }
    const action = { action: 'TENANT_CREATE', tenantId: row.id, object: publicId('ten', row.id) } as const
    await recordAction(tx, viewer, { ...action, details: { key, name } }, now)
    return created
  })
}

/** Changes what the input mentions: absent is unchanged, null is none. Mistakes: NOT_FOUND at `id`, INVALID_INPUT. */
export async function updateTenant(
  { db, clock }: TenantContext,
  viewer: Viewer,
  id: TenantId,
  input: TenantSettings,
): Promise<Tenant> {
  const name = input.name === undefined ? undefined : readTenantName(input.name)
  const now = clock.now()
  return db.orm.transaction(async (tx) => {
    const living = and(eq(tenants.id, id), isNull(tenants.deletedAt))
    const [before] = await tx.select().from(tenants).where(living).for('no key update')
    if (!before) throw tenantNotFound()
    const after = { ...before, ...(name === undefined ? {} : { name }) }
    await tx.update(tenants).set({ name: after.name }).where(eq(tenants.id, id))
    const details = before.name === after.name ? {} : { name: { from: before.name, to: after.name } }
    await recordAction(tx, viewer, { action: 'TENANT_UPDATE', tenantId: id, object: publicId('ten', id), details }, now)
    return after
  })
}

/** NOT_FOUND at `id`: there is none, or it is deleted. */
export const tenantNotFound = () => new Mistake('NOT_FOUND', ['id'], 'There is no such tenant.')

function readTenantName(name: string | null | undefined): string | null {
  return name === null || name === undefined ? null : readName(name, ['input', 'name'])
}
