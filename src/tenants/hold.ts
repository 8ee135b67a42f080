import { eq, sql } from 'drizzle-orm'
import type { ApiKeyId, TenantId } from '../../schema/ids.ts'
import { apiKeys } from '../../schema/tables/api-keys.ts'
import { Mistake } from '../mistake.ts'
import type { Orm } from '../postgres/client.ts'
import type { Viewer } from './access.ts'
import { stateOf } from './caller-state.ts'

/**
 * Sees to it that a tenant is not deleted before the commit: whatever is made for it is there when its deletion looks for what
 * to end, or is not made. Nobody else who makes something waits,
 * unless it is to be one after another (`no key update`). Mistakes: NOT_FOUND.
 */
export async function holdTenant(
  orm: Pick<Orm, 'execute'>,
  tenant: TenantId,
  path: readonly string[] = ['input', 'tenant'],
  lock: 'key share' | 'no key update' = 'key share',
): Promise<void> {
  const living = await orm.execute(
    sql`select from postrider.tenants where id = ${tenant} and deleted_at is null for ${sql.raw(lock)}`,
  )
  if (living.length === 0) throw new Mistake('NOT_FOUND', [...path], 'There is no such tenant: it was just deleted.')
}

/**
 * Sees to it that the key of a request is neither revoked nor over when what it makes or changes is committed: its revocation
 * waits for this one, or is seen. The request was let in before, and a document may hold many mutations. Mistakes: UNAUTHENTICATED.
 */
export async function holdMaker(orm: Pick<Orm, 'select'>, { id, scopes }: Viewer, now: Date): Promise<void> {
  const [maker] = await orm
    .select({ scopes: apiKeys.scopes, revokedAt: apiKeys.revokedAt, expiresAt: apiKeys.expiresAt })
    .from(apiKeys)
    .where(eq(apiKeys.id, id as ApiKeyId))
    .for('key share')
  if (maker === undefined) throw new Error('Only an API key makes tenants, keys and portal sessions')
  if (stateOf(maker, now) === 'ACTIVE' && scopes.every((scope) => maker.scopes.includes(scope))) return
  const message =
    'The API key of this request has just been revoked, or has expired: nothing was done. Send a valid one.'
  throw new Mistake('UNAUTHENTICATED', [], message)
}
