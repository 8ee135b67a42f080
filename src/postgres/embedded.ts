import { lstat, mkdir, realpath } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Log } from '../log.ts'
import { serverAccount } from './account.ts'
import { findBinaries } from './binaries.ts'
import { clusterExists, createCluster, placeCluster, socketDirectory } from './cluster.ts'
import { fileFault, NoBinaries, NoDatabase, StartFailed } from './embedded-errors.ts'
import { loadPostgres } from './mend.ts'
import {
  adminAddress,
  findRunning,
  isPostmaster,
  PORT,
  type Postmaster,
  startPostmaster,
  stopPostmaster,
} from './postmaster.ts'
import { withStartLock } from './start-lock.ts'

/** How to reach a server through a Unix socket: `host` is the directory of the socket. */
export type PostgresAddress = { host: string; port: number; user: string; database: string }

export type EmbeddedPostgres = {
  /** For the application: its role owns its database and is no superuser. */
  address: PostgresAddress
  /** A superuser's way in, for maintenance and tests. */
  admin: PostgresAddress
  /** True: the server was running already, left behind by a process that was killed. */
  adopted: boolean
  isRunning(): Promise<boolean>
  stop(): Promise<void>
}

export type EmbeddedPostgresOptions = {
  dataDir: string
  log: Log
  /** The programs to use in place of the package's. */
  binDir?: string
  /** False: the database must be there already. A new, empty one in the place of one that has vanished would be no help. */
  mayCreate?: boolean
  /** More settings of the server, or others than ours. An adopted server keeps those it was started with. */
  settings?: Record<string, string>
  /** Where files go that the server's user could not reach in the data directory or in node_modules. */
  shelter?: string
}

const OWNER = 'postrider'
const LOCK_DEADLINE_MS = 120_000

const SETTINGS = {
  listen_addresses: '',
  unix_socket_permissions: '0700',
  max_connections: '100',
  // A statement over all days of a table locks each of them and their indexes.
  max_locks_per_transaction: '256',
  shared_buffers: '128MB',
  max_wal_size: '1GB',
  // The package is built without lz4.
  wal_compression: 'pglz',
  // The promise of the product, so not left to defaults.
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  timezone: 'UTC',
  log_timezone: 'UTC',
  lc_messages: 'C',
  log_destination: 'stderr',
  logging_collector: 'off',
  log_checkpoints: 'off',
  // Statements and details of errors quote payloads and secrets.
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
}

/**
 * Starts the Postgres that comes with Postrider on its data directory, or adopts the one that runs there. It outlives this
 * process unless it is stopped: a process that is killed finds it again at its next start.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  if (process.platform === 'win32') throw new NoBinaries('Windows has no Unix sockets for it to listen on')
  const { log, shelter = '/var/lib/postrider' } = options
  if (options.mayCreate === false) await refuseWithout(options.dataDir)
  const dataDir = await makeDataDir(options.dataDir)
  const account = await serverAccount(join(dataDir, 'postgres'))
  const cluster = await placeCluster(dataDir, shelter, account, log)

  return withStartLock(`${cluster}.lock`, LOCK_DEADLINE_MS, async () => {
    // As an ordinary user there is no barrier, and the shelter serves only where node_modules cannot be completed.
    const binaries = await findBinaries({
      binDir: options.binDir,
      account,
      shelter: account.lent ? shelter : dataDir,
      log,
    })
    if (await clusterExists(cluster, binaries.major)) {
      const running = await findRunning(cluster)
      if (running !== null) return present(running, true, log)
    } else if (options.mayCreate === false) throw new StartFailed(`The database in ${cluster} is gone`, '')
    else await createCluster(cluster, binaries, account)
    const started = await startPostmaster({
      cluster,
      socketDirectory: await socketDirectory(cluster, account),
      binaries,
      account,
      logFile: join(dataDir, 'postgres.log'),
      settings: { ...SETTINGS, ...options.settings },
    })
    return present(started, false, log)
  })
}

/** Before anything is made: a directory that appears under a misspelt path would seem to be the right one. */
async function refuseWithout(dataDir: string): Promise<void> {
  // Not what a link points to: one that leads nowhere has a reason of its own.
  const found = await lstat(join(resolve(dataDir), 'postgres')).catch((error: NodeJS.ErrnoException) => error)
  if (found instanceof Error && found.code === 'ENOENT') throw new NoDatabase(resolve(dataDir))
}

/** Root lets others pass, but not look: the server's user must reach its cluster. */
async function makeDataDir(path: string): Promise<string> {
  try {
    await mkdir(resolve(path), { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 })
    return await realpath(path)
  } catch (error) {
    throw fileFault(error, resolve(path))
  }
}

async function present(postmaster: Postmaster, adopted: boolean, log: Log): Promise<EmbeddedPostgres> {
  const admin = adminAddress(postmaster.socketDirectory)
  await ensureDatabase(admin)
  const { pid, cluster } = postmaster
  log.info(
    { postgresPid: pid, cluster },
    adopted ? 'Found the embedded Postgres running' : 'Started the embedded Postgres',
  )
  return {
    address: { host: postmaster.socketDirectory, port: PORT, user: OWNER, database: OWNER },
    admin,
    adopted,
    isRunning: () => isPostmaster(postmaster),
    stop: () => stopPostmaster(postmaster),
  }
}

/** At every start, so that a first one that was killed is completed by the next. */
async function ensureDatabase(admin: PostgresAddress): Promise<void> {
  const postgres = await loadPostgres()
  const sql = postgres({ ...admin, max: 1, fetch_types: false, onnotice() {} })
  try {
    const [there] = await sql`
      select exists (select from pg_roles where rolname = ${OWNER}) as role,
             exists (select from pg_database where datname = ${OWNER}) as database`
    if (!there?.role) await sql`create role ${sql(OWNER)} login`
    if (!there?.database) await sql`create database ${sql(OWNER)} owner ${sql(OWNER)}`
  } finally {
    await sql.end({ timeout: 1 })
  }
}
