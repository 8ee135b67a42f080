import { readFile, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { silentLog } from '../../src/log.ts'
import { openClient, type Sql } from '../../src/postgres/client.ts'
import { startEmbeddedPostgres } from '../../src/postgres/embedded.ts'
import { databaseUrl } from '../support/database-url.ts'
import { claimKey } from './history.ts'

/** A real Postgres that can be broken and comes back. */
export type Database = {
  url: string
  sql: Sql
  /** Resolves when it answers, or comes back. */
  ready(): Promise<void>
  /** The claims that stand, and when that was read; while it is away, what was last known. */
  held(): Promise<{ held: ReadonlySet<string>; readAt: number }>
  /** Ends up to three sessions that are just writing. Says how many. */
  endSessions(): Promise<number>
  /** Kills one server process that is just writing with -9: Postgres restarts all of them. Says whether there was one. */
  killBackend(): Promise<boolean>
  /** Kills the postmaster and all its processes with -9, and starts it again after a while. */
  killAll(downMs: number): Promise<void>
  stop(): Promise<void>
}

// Written to disk as late as it may be, so that nothing but a synchronous commit keeps what was acknowledged.
const SETTINGS = { wal_writer_delay: '10s', wal_buffers: '64MB' }

const BUSY_PATIENCE_MS = 1000
const READY_DEADLINE_MS = 60_000

export async function startDatabase(dataDir: string): Promise<Database> {
  const binDir = process.env.POSTRIDER_TEST_POSTGRES_BIN
  const shelter = `${dataDir}-shelter`
  const options = { dataDir, log: silentLog, shelter, settings: SETTINGS, ...(binDir ? { binDir } : {}) }
  let server = await startEmbeddedPostgres(options)
  const sql = await openClient(
    { ...server.admin, database: server.address.database },
    { max: 2, name: 'chaos', log: silentLog },
  )
  let known: { held: ReadonlySet<string>; readAt: number } = { held: new Set(), readAt: 0 }
  let back: Promise<void> = Promise.resolve()

  return {
    url: databaseUrl(server.address),
    sql,
    ready: () => back,
    async held() {
      const readAt = Date.now()
      const read = sql<{ ticket: string; retryCount: number }[]>`
        select id as ticket, retry_count as "retryCount" from postrider_queue.job
        where name = 'deliver' and state = 'active'`
      const rows = await Promise.race([read.catch(() => null), wait(1000, null)])
      if (rows !== null) known = { held: new Set(rows.map(claimKey)), readAt }
      return known
    },
    async endSessions() {
      const rows = await whenBusy(() => sql`select pg_terminate_backend(pid) from (${busy(sql)} limit 3) busy`)
      return rows.length
    },
    async killBackend() {
      const [row] = await whenBusy(() => sql<{ pid: number }[]>`${busy(sql)} limit 1`)
      if (row === undefined) return false
      process.kill(row.pid, 'SIGKILL')
      // A moment in which the others live on, and might answer.
      back = wait(500).then(() => answers(sql))
      return true
    },
    async killAll(downMs) {
      await answers(sql)
      const pids = await processesOf(sql, dataDir)
      for (const pid of pids) kill(pid)
      back = wait(downMs).then(async () => {
        server = await startEmbeddedPostgres(options)
        await answers(sql)
      })
    },
    async stop() {
      await sql.end({ timeout: 1 })
      await server.stop()
    },
  }
}

/** Sessions of the program in the middle of a transaction that writes: they are publishing, routing or settling. */
function busy(sql: Sql) {
  return sql`
    select pid from pg_stat_activity
    where application_name in ('postrider api', 'postrider worker') and state <> 'idle' and backend_xid is not null
      and query !~* '^\\s*(create|alter|select pg_advisory_lock)' order by random()`
}

/** Writing takes a millisecond or two: asks until somebody is seen at it. */
async function whenBusy<T>(ask: () => PromiseLike<readonly T[]>): Promise<readonly T[]> {
  const deadline = performance.now() + BUSY_PATIENCE_MS
  for (;;) {
    const rows = await Promise.resolve(ask()).catch(() => [])
    if (rows.length > 0 || performance.now() > deadline) return rows
    await wait(2)
  }
}

/** The postmaster first: it would start others. */
async function processesOf(sql: Sql, dataDir: string): Promise<number[]> {
  const rows = await sql<{ pid: number }[]>`select pid from pg_stat_activity`
  const pidFile = await realpath(join(dataDir, 'postgres', 'postmaster.pid'))
  const postmaster = Number((await readFile(pidFile, 'utf8')).split('\n')[0])
  return [postmaster, ...rows.map(({ pid }) => pid)]
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    // Gone in the meantime.
    if ((error as { code?: string }).code !== 'ESRCH') throw error
  }
}

async function answers(sql: Sql): Promise<void> {
  const deadline = performance.now() + READY_DEADLINE_MS
  for (;;) {
    try {
      await sql`select 1`
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
    }
    await wait(50)
  }
}
