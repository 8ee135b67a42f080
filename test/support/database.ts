import { randomUUID } from 'node:crypto'
import { inject, onTestFinished } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { type Address, type Db, openPool, type PoolOptions } from '../../src/postgres/client.ts'

/** A fresh database of this program's schema, a clone of the migrated template; dropped when the test has finished. */
export async function createDatabase(template = inject('templateDatabase')): Promise<Exclude<Address, string>> {
  const server = inject('postgresAddress')
  const database = `test_${randomUUID().replaceAll('-', '').slice(0, 16)}`
  // The other strategy writes every page to the log first: half a second instead of a twentieth.
  await asAdmin((db) => db.sql.unsafe(`create database ${database} template ${template} strategy file_copy`))
  onTestFinished(() =>
    // As a superuser: an autovacuum may be at work on it, which nobody else may end.
    asAdmin((db) => db.sql.unsafe(`drop database if exists ${database} with (force)`), 'postgresAdminAddress').then(
      () => {},
    ),
  )
  return { ...server, database }
}

/** A pool on a fresh database, closed when the test has finished. */
export async function openDatabase(
  address?: Exclude<Address, string>,
  options: Partial<PoolOptions> = {},
): Promise<Db> {
  const settings = { max: 10, name: 'test', log: silentLog, ...options }
  const db = await openPool(address ?? (await createDatabase()), settings)
  onTestFinished(() => db.close())
  return db
}

async function asAdmin<T>(
  work: (db: Db) => Promise<T>,
  who: 'postgresAddress' | 'postgresAdminAddress' = 'postgresAddress',
): Promise<T> {
  const db = await openPool(inject(who), { max: 1, name: 'test admin', log: silentLog })
  try {
    return await work(db)
  } finally {
    await db.close()
  }
}
