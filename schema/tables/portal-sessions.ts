import { sql } from 'drizzle-orm'
import { check, index, text } from 'drizzle-orm/pg-core'
import { PORTAL_SCOPES, type PortalScope } from '../states.ts'
import { apiKeys } from './api-keys.ts'
import { bytes, id, moment, oneOf, postrider } from './postrider.ts'
import { tenants } from './tenants.ts'

/** Short-lived keys to one tenant, kept as SHA-256 of 256 random bits; removed when they have expired. */
export const portalSessions = postrider.table(
  'portal_sessions',
  {
    id: id<'pts'>('id').primaryKey(),
    tenantId: id<'ten'>('tenant_id')
      .notNull()
      .references(() => tenants.id),
    /** The key that made it: revoked together. */
    apiKeyId: id<'key'>('api_key_id')
      .notNull()
      .references(() => apiKeys.id),
    name: text('name').notNull(),
    hash: bytes('hash').notNull().unique(),
    scope: text('scope').$type<PortalScope>().notNull(),
    createdAt: moment('created_at').notNull(),
    expiresAt: moment('expires_at').notNull(),
    revokedAt: moment('revoked_at'),
  },
  (table) => [
    index('portal_sessions_of_tenant').on(table.tenantId, table.id),
    index('portal_sessions_of_api_key').on(table.apiKeyId).where(sql`${table.revokedAt} is null`),
    index('portal_sessions_by_expiry').on(table.expiresAt),
    check('portal_sessions_scope', oneOf(table.scope, PORTAL_SCOPES)),
  ],
)
