// Rows are locked in one order, so that nobody waits for who waits for him: tenants, events, endpoints, deliveries; and, after the
// tenant, api_keys, portal_sessions, with LOCKS.adminKeys before the keys. Where that cannot be kept, `again` runs it anew.

/**
 * Every advisory lock we take, in one place, so that no two mean different things by one number. The numbers themselves
 * are any that are ours; bigint as text, because postgres.js would send a number as int4.
 */
export const LOCKS = {
  /** Installing and changing tables. */
  migration: '7768310001',
  /** Giving attempts their positions: held from there to the commit. */
  attemptPositions: '7768310002',
  /** Held shared by every process that works on this database, for as long as its session lives. */
  presence: '7768310003',
  /** Making the first API key, and changing which instance-wide ADMIN keys there are. */
  adminKeys: '7768310004',
  /** Making partitions. */
  partitions: '7768310005',
  /** Dropping what is no longer kept: held by the session that does it. */
  retention: '7768310006',
  /** Changing the catalogue of event types. */
  catalogue: '7768310007',
  /** Counting the endpoints of a tenant: with a hash of it, so among the locks of two numbers. */
  endpoints: '776831',
  /** Rotating the master keys: held by the session of the command that does it. */
  masterKeys: '7768310016',
} as const
