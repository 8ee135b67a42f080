import { newId, type TenantId } from '../../schema/ids.ts'
import type { Scope } from '../../schema/states.ts'
import type { Viewer } from '../../src/tenants/access.ts'

/** Somebody with a key: of one tenant, or of the whole instance. */
export function viewerOf(tenantId: TenantId | null, scopes: Scope[] = ['ADMIN']): Viewer {
  const who = { id: newId<'key'>(new Date()), name: 'test', address: '127.0.0.1' }
  return { kind: 'API_KEY', ...who, tenantId, scopes, expiresAt: null }
}
