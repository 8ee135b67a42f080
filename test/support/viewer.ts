import { newId, type TenantId } from '../../schema/ids.ts'
import type { Scope } from '../../schema/states.ts'
import type { Db } from '../../src/postgres/client.ts'
import type { Viewer } from '../../src/tenants/access.ts'

/** Somebody with a key: of one tenant, or of the whole instance. */
export function viewerOf(tenantId: TenantId | null, scopes: Scope[] = ['ADMIN']): Viewer {
  const id = newId<'key'>(new Date())
  const who = { id, keyId: id, name: 'test', address: '127.0.0.1' }
  return { kind: 'API_KEY', ...who, tenantId, scopes, expiresAt: null }
}

/** The same viewer, whose key is in the database: who makes tenants, keys and portal sessions must have one. */
export async function withKey({ sql }: Pick<Db, 'sql'>, viewer: Viewer): Promise<Viewer> {
  const { id, name, tenantId, scopes } = viewer
  await sql`insert into postrider.api_keys (id, tenant_id, name, hash, scopes, created_at)
    values (${id}, ${tenantId}, ${name}, sha256(${String(id)}::text::bytea), ${[...scopes]}, now()) on conflict do nothing`
  return viewer
}
