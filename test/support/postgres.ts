import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { install } from '../../src/install.ts'
import { silentLog } from '../../src/log.ts'
import { openPool } from '../../src/postgres/client.ts'
import { type PostgresAddress, startEmbeddedPostgres } from '../../src/postgres/embedded.ts'
import { loadPostgres } from '../../src/postgres/mend.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The server of this test run, as the application's role sees it: no superuser, but it may create databases. */
    postgresAddress: PostgresAddress
    /** The same server for a superuser. */
    postgresAdminAddress: PostgresAddress
    /** A migrated database that tests clone. */
    templateDatabase: string
  }
}

/**
 * Starts one server for the whole test run and stops it at its end. POSTRIDER_TEST_POSTGRES_BIN: the directory of other
 * programs to run the tests on, such as those of the oldest Postgres we support.
 */
export default async function setup(project: TestProject) {
  const dataDir = await mkdtemp(join(await scratchDirectory(), 'postrider-test-'))
  const binDir = process.env.POSTRIDER_TEST_POSTGRES_BIN
  const server = await startEmbeddedPostgres({
    dataDir,
    log: silentLog,
    ...(binDir ? { binDir } : {}),
    shelter: `${dataDir}-shelter`,
    settings: { max_connections: '300' },
  }).catch(async (error) => {
    await remove(dataDir)
    throw error
  })
  // For every process of this run, those that tests launch before all.
  process.env.NODE_COMPILE_CACHE = `${dataDir}-compiled`
  const postgres = await loadPostgres()
  const admin = postgres({ ...server.admin, max: 1 })
  await admin`alter role ${admin(server.address.user)} createdb`
  await admin.end()
  project.provide('postgresAddress', server.address)
  project.provide('postgresAdminAddress', server.admin)
  project.provide('templateDatabase', await createTemplate(server.address))

  return async function teardown() {
    await server.stop()
    await remove(dataDir)
  }
}

// What a run writes: some two hundred clones of 15 MB each.
const ROOM_BYTES = 4 * 2 ** 30

/** In memory where there is room: cloning and dropping databases is half of what the tests do, and most of that is fsync. */
async function scratchDirectory(): Promise<string> {
  const memory = '/dev/shm'
  const room = await statfs(memory).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => 0,
  )
  return room >= ROOM_BYTES ? memory : tmpdir()
}

async function createTemplate(address: PostgresAddress): Promise<string> {
  const database = 'postrider_template'
  const maintenance = await openPool(address, { max: 1, name: 'test template', log: silentLog })
  await maintenance.sql.unsafe(`create database ${database}`)
  await maintenance.close()
  const db = await openPool({ ...address, database }, { max: 4, name: 'test template', log: silentLog })
  const { queue } = await install(db, { now: () => new Date() }, { db, log: silentLog, supervise: false })
  await queue.close()
  // Each clone is a database of its own, with cursors of its own: its epoch is drawn when the first program starts on it.
  await db.sql`truncate postrider.installation`
  await db.close()
  return database
}

async function remove(dataDir: string) {
  for (const path of [dataDir, `${dataDir}-shelter`, `${dataDir}-compiled`])
    await rm(path, { recursive: true, force: true })
}
