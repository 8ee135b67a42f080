import type { ApiKeyId, TenantId } from '../../schema/ids.ts'
import { SCOPES, type Scope } from '../../schema/states.ts'
import type { Actor } from '../audit/actor.ts'

/** Who is asking, the caller of the API: the API key or portal session of a request, and what it may do. */
export type Viewer = Actor & {
  /** Null: it is instance-wide. */
  tenantId: TenantId | null
  scopes: readonly Scope[]
  /** The API key that the credential is, or that made the portal session. */
  keyId: ApiKeyId
  /** When the credential ends; null: never. */
  expiresAt: Date | null
}

/** Whose rows a query may see. Every finder asks for it first, so that none can forget it. */
export type Reach = TenantId | 'every'

const INCLUDED: Record<Scope, readonly Scope[]> = {
  PUBLISH: ['PUBLISH'],
  READ: ['READ'],
  MANAGE: ['MANAGE', 'READ'],
  ADMIN: ['ADMIN', 'MANAGE', 'READ', 'PUBLISH'],
}

/** Whether a caller may do what needs this scope: `ADMIN` includes all of them, `MANAGE` includes `READ`. */
export function may(viewer: Viewer, scope: Scope): boolean {
  return viewer.scopes.some((own) => INCLUDED[own].includes(scope))
}

/** Everything a caller's scopes come to, with those that they include, in the order of the enum. */
export function effectiveScopes(viewer: Pick<Viewer, 'scopes'>): Scope[] {
  return SCOPES.filter((scope) => viewer.scopes.some((own) => INCLUDED[own].includes(scope)))
}

/** Which objects a caller can name by their id: its tenant's, or anybody's when it is instance-wide. */
export function reachOf(viewer: Viewer): Reach {
  return viewer.tenantId ?? 'every'
}

/** Whose keys and portal sessions one may see and change: those of its tenant, everybody's, or nobody's without ADMIN. */
export function adminReachOf(viewer: Viewer): Reach | null {
  return may(viewer, 'ADMIN') ? reachOf(viewer) : null
}

/** Whether a caller may do what concerns the whole instance: tenants, and keys that are not bound to one. */
export function isInstanceAdmin(viewer: Viewer): boolean {
  return viewer.tenantId === null && may(viewer, 'ADMIN')
}

/** Whether a caller may ask for the lists of all tenants at once. */
export function mayListEveryTenant(viewer: Viewer): boolean {
  return isInstanceAdmin(viewer)
}
