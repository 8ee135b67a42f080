import { index, text } from 'drizzle-orm/pg-core'
import type { Scope } from '../states.ts'
import { bytes, id, moment, postrider } from './postrider.ts'
import { tenants } from './tenants.ts'

/** What callers of the API show, kept as SHA-256 of 256 random bits: nothing here opens anything. */
export const apiKeys = postrider.table(
  'api_keys',
  {
    id: id<'key'>('id').primaryKey(),
    /** Null: the key is instance-wide. */
    tenantId: id<'ten'>('tenant_id').references(() => tenants.id),
    name: text('name').notNull(),
    hash: bytes('hash').notNull().unique(),
    /** How the key begins, by which its holder recognises it; null for one that somebody else made up. */
    hint: text('hint'),
    scopes: text('scopes').array().$type<Scope[]>().notNull(),
    createdAt: moment('created_at').notNull(),
    expiresAt: moment('expires_at'),
    revokedAt: moment('revoked_at'),
    /** Noted about once a minute. */
    lastUsedAt: moment('last_used_at'),
  },
  (table) => [index('api_keys_of_tenant').on(table.tenantId, table.id)],
)
