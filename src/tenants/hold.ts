import { sql } from 'drizzle-orm'
import type { TenantId } from '../../schema/ids.ts'
import { Mistake } from '../mistake.ts'
import type { Orm } from '../postgres/client.ts'

/**
 * Sees to it that a tenant is not deleted before the commit: whatever is made for it is there when its deletion looks for what
 * to end, or is not made. Nobody else who makes something waits. Mistakes: NOT_FOUND.
 */
export async function holdTenant(
  orm: Pick<Orm, 'execute'>,
  tenant: TenantId,
  path: readonly string[] = ['input', 'tenant'],
): Promise<void> {
  const living = await orm.execute(
    sql`select from postrider.tenants where id = ${tenant} and deleted_at is null for key share`,
  )
  if (living.length === 0) throw new Mistake('NOT_FOUND', [...path], 'There is no such tenant: it was just deleted.')
}
