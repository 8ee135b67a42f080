import type { Orm } from '../../postgres/client.ts'
import type { Reach } from '../../tenants/access.ts'
import type { CapabilityParts } from './parts.ts'

/** A list with a filter may read a whole history to find what it asks for; times alone bound what is read. */
export function scan<T>(
  { db, scans }: CapabilityParts,
  reach: Reach,
  filter: object | null | undefined,
  read: (orm: Orm) => Promise<T>,
): Promise<T> {
  const { since, until, ...lists } = (filter ?? {}) as { since?: unknown; until?: unknown }
  if (Object.values(lists).every((list) => list === null || list === undefined)) return read(db.orm)
  return scans.run(reach, ['filter'], read)
}
