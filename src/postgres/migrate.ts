import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Db } from './client.ts'
import { LOCKS } from './locks.ts'

/** This program is older than the database it was started on. */
export class NewerSchema extends Error {
  readonly code = 'NEWER_SCHEMA'

  constructor() {
    super('This database was migrated by a newer Postrider. Start that version (or a newer one) instead.')
    this.name = 'NewerSchema'
  }
}

const FOLDER = fileURLToPath(new URL('../../schema/migrations', import.meta.url))
const TABLE = { migrationsSchema: 'postrider', migrationsTable: 'migrations' }

/**
 * Runs `work` under the lock that serialises everything that installs or changes tables. It is held by the transaction of
 * one connection: it goes when that process goes, killed half-way or not, and the next start carries on.
 */
export async function underMigrationLock<T>(db: Db, work: () => Promise<T>): Promise<T> {
  return db.transaction(async (tx) => {
    await tx`set local lock_timeout = '120s'`
    await tx`set local idle_in_transaction_session_timeout = 0`
    await tx`select pg_advisory_xact_lock(${LOCKS.migration}::bigint)`
    return work()
  })
}

/** Brings our tables to this program's version. Call it under the migration lock. */
export async function migrate(db: Db): Promise<void> {
  await refuseNewerSchema(db)
  const migrator = await import('drizzle-orm/postgres-js/migrator')
  await migrator.migrate(db.orm, { migrationsFolder: FOLDER, ...TABLE })
}

/** For a program that does not migrate: throws `NewerSchema` where this one does not know everything that is in the database. */
export async function refuseNewerSchema(db: Pick<Db, 'sql'>): Promise<void> {
  const [known] = await db.sql<{ table: string | null }[]>`select to_regclass('postrider.migrations')::text as table`
  if (!known?.table) return
  const [last] = await db.sql<
    { createdAt: string | null }[]
  >`select max(created_at)::text as "createdAt" from postrider.migrations`
  const journal = JSON.parse(readFileSync(`${FOLDER}/meta/_journal.json`, 'utf8')) as { entries: { when: number }[] }
  const newest = Math.max(...journal.entries.map((entry) => entry.when))
  if (Number(last?.createdAt ?? 0) > newest) throw new NewerSchema()
}
