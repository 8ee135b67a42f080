import { and, eq, inArray, isNull } from 'drizzle-orm'
import { newId, type TenantId } from '../../schema/ids.ts'
import { OPERATIONS_TENANT } from '../../schema/operational-events.ts'
import { tenants } from '../../schema/tables/tenants.ts'
import { quoteGiven } from '../given-id.ts'
import { Mistake } from '../mistake.ts'
import type { Orm } from '../postgres/client.ts'
import { type Page, type PageRequest, pageBounds, pageLimit, pageOrder, toPage } from '../postgres/keyset.ts'
import { mayListEveryTenant, type Reach, type Viewer } from './access.ts'
import { formOf } from './bearer-text.ts'
import { inReach } from './reach.ts'

export type Tenant = typeof tenants.$inferSelect

/** The tenant of a fresh installation, and of instance-wide keys that name none. */
export const DEFAULT_TENANT = 'default'
/** What an instance-wide ADMIN may give as `tenant` to lists and feeds: all of them. */
export const EVERY_TENANT = '*'

/** The tenants that every installation has. */
export type BuiltInTenants = { defaultTenantId: TenantId; operationsTenantId: TenantId }

/** Makes sure that the built-in tenants exist; any number of processes may do so at once. */
export async function ensureTenants(orm: Orm, now: Date): Promise<BuiltInTenants> {
  await orm
    .insert(tenants)
    .values([DEFAULT_TENANT, OPERATIONS_TENANT].map((key) => ({ id: newId<'ten'>(now), key, createdAt: now })))
    .onConflictDoNothing()
  return {
    defaultTenantId: (await findTenantByKey(orm, DEFAULT_TENANT)) as TenantId,
    operationsTenantId: (await findTenantByKey(orm, OPERATIONS_TENANT)) as TenantId,
  }
}

/** What a tenant can be named by: exactly one of them. */
export type TenantName = { id?: TenantId | null; key?: string | null | undefined }

/** A tenant that can be seen, by its id (also when it was deleted: history names it) or by its key. */
export async function findTenant(orm: Orm, reach: Reach, { id, key }: TenantName): Promise<Tenant | null> {
  const found = id ?? (key === null || key === undefined ? null : await findTenantByKey(orm, key))
  return found === null ? null : ((await findTenants(orm, reach, [found]))[0] ?? null)
}

/** The tenants that can be seen, newest first, without deleted ones: all of them, or the caller's own. */
export async function listTenants(orm: Orm, reach: Reach, page: PageRequest): Promise<Page<Tenant>> {
  const rows = await orm
    .select()
    .from(tenants)
    .where(and(inReach(tenants.id, reach), isNull(tenants.deletedAt), ...pageBounds(tenants.id, page)))
    .orderBy(pageOrder(tenants.id, page))
    .limit(pageLimit(page))
  return toPage(rows, page)
}

/** For a bound key any tenant but its own is as good as absent. Deleted ones are there: history names them. */
export async function findTenants(orm: Orm, reach: Reach, ids: readonly TenantId[]): Promise<Tenant[]> {
  const visible = reach === 'every' ? [...ids] : ids.filter((id) => id === reach)
  return visible.length === 0 ? [] : orm.select().from(tenants).where(inArray(tenants.id, visible))
}

/** The tenant a call is about: the one it names, else the key's own, else the default one. */
export async function resolveTenant(
  context: { orm: Orm; defaultTenantId: TenantId },
  viewer: Viewer,
  key: string | null | undefined,
  path: readonly string[],
): Promise<TenantId> {
  if (key === null || key === undefined) return viewer.tenantId ?? context.defaultTenantId
  if (key === DEFAULT_TENANT && viewer.tenantId === null) return context.defaultTenantId
  const id = await findTenantByKey(context.orm, key)
  if (id !== null && (viewer.tenantId === null || viewer.tenantId === id)) return id
  if (key === EVERY_TENANT) {
    const message =
      '"*" means all tenants in lists and feeds only; this is of one tenant. Give its key, or leave it out.'
    throw new Mistake('NOT_FOUND', [...path], message)
  }
  if (formOf(key) !== null) {
    // Not repeated: it opens something.
    const message = 'This is an API key or a token. What names a tenant is its `key`, like "acme".'
    throw new Mistake('NOT_FOUND', [...path], message)
  }
  throw new Mistake('NOT_FOUND', [...path], `There is no tenant with the key ${quoteGiven(key)}.`)
}

/** Whose rows a list or feed shows: like `resolveTenant`, or everybody's for an instance-wide ADMIN who asks for `*`. */
export async function resolveReach(
  context: { orm: Orm; defaultTenantId: TenantId },
  viewer: Viewer,
  key: string | null | undefined,
  path: readonly string[],
): Promise<Reach> {
  if (key !== EVERY_TENANT) return resolveTenant(context, viewer, key, path)
  if (mayListEveryTenant(viewer)) return 'every'
  throw notForEveryTenant(path)
}

/** Of a `*` that would mean something there, were it somebody else who asks. */
export function notForEveryTenant(path: readonly string[]): Mistake {
  const message = '`*` takes an instance-wide key with the scope ADMIN. Give the key of a tenant, or leave it out.'
  return new Mistake('NOT_FOUND', [...path], message)
}

async function findTenantByKey(orm: Orm, key: string): Promise<TenantId | null> {
  // Postgres text cannot hold U+0000: the query would fail instead of finding nothing.
  if (key.includes('\0')) return null
  const [row] = await orm
    .select({ id: tenants.id })
    .from(tenants)
    .where(and(eq(tenants.key, key), isNull(tenants.deletedAt)))
  return row?.id ?? null
}
