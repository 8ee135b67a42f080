import { index, primaryKey, text } from 'drizzle-orm/pg-core'
import { bytes, id, moment, postrider } from './postrider.ts'

/** Which event a producer's key stands for, until it expires. A table of its own: uniqueness reaches across days. */
export const idempotencyKeys = postrider.table(
  'idempotency_keys',
  {
    tenantId: id<'ten'>('tenant_id').notNull(),
    key: text('key').notNull(),
    /** SHA-256 over every other field of the input: the same key with another body is a conflict. */
    bodyHash: bytes('body_hash').notNull(),
    eventId: id<'evt'>('event_id').notNull(),
    expiresAt: moment('expires_at').notNull(),
  },
  (table) => [
    primaryKey({ name: 'idempotency_keys_pkey', columns: [table.tenantId, table.key] }),
    index('idempotency_keys_expiry').on(table.expiresAt),
  ],
)
