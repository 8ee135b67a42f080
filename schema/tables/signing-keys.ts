import { sql } from 'drizzle-orm'
import { check, index, uniqueIndex } from 'drizzle-orm/pg-core'
import { endpoints } from './endpoints.ts'
import { bytes, id, moment, postrider } from './postrider.ts'

/**
 * The Ed25519 key pairs of endpoints that sign with `v1a`, the private half sealed. Each endpoint has one that signs and the
 * one that is next, published before it signs, so that whoever fetched the keys can verify across a rotation.
 */
export const signingKeys = postrider.table(
  'signing_keys',
  {
    id: id<'sik'>('id').primaryKey(),
    tenantId: id<'ten'>('tenant_id').notNull(),
    endpointId: id<'ep'>('endpoint_id')
      .notNull()
      .references(() => endpoints.id),
    /** The 32 bytes of the public half (RFC 8032). */
    publicKey: bytes('public_key').notNull(),
    sealed: bytes('sealed').notNull(),
    createdAt: moment('created_at').notNull(),
    /** Since when it signs; null: it is the next one. */
    signsFrom: moment('signs_from'),
    /** Until when; null: until it is replaced. */
    signsUntil: moment('signs_until'),
  },
  (table) => [
    index('signing_keys_of_tenant').on(table.tenantId, table.endpointId),
    uniqueIndex('signing_keys_next').on(table.endpointId).where(sql`${table.signsFrom} is null`),
    uniqueIndex('signing_keys_newest')
      .on(table.endpointId)
      .where(sql`${table.signsFrom} is not null and ${table.signsUntil} is null`),
    index('signing_keys_ending').on(table.signsUntil).where(sql`${table.signsUntil} is not null`),
    index('signing_keys_of_master_key').on(sql`substr(${table.sealed}, 2, 8)`, table.id),
    check('signing_keys_next_has_no_end', sql`${table.signsFrom} is not null or ${table.signsUntil} is null`),
  ],
)
