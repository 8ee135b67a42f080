import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import type postgres from 'postgres'
import type { Log } from '../log.ts'
import { loadPostgres } from './mend.ts'

export type Sql = postgres.Sql
/** The connection of an open transaction. */
export type Tx = postgres.TransactionSql
/** A connection of a pool, kept for a while: for what cannot run in a transaction. */
export type Session = postgres.ReservedSql
/** Something that runs SQL: a pool, or the connection of an open transaction. */
export type Queryable = Sql | Tx
export type Orm = PostgresJsDatabase

/** How to reach a server: a URL, or the parts of a Unix socket. */
export type Address = string | { host: string; port: number; user: string; database: string }

/**
 * A pool of connections. `sql` speaks SQL, `orm` is Drizzle over the same connections.
 * Timestamps come and go as text on both (Drizzle sets it so): `toDate` and `toISOString` are at the edges.
 */
export type Db = {
  sql: Sql
  orm: Orm
  /** Runs `work` in one transaction: committed when it returns, rolled back when it throws. */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  close(): Promise<void>
}

export type PoolOptions = {
  max: number
  name: string
  log: Log
  statementTimeoutMs?: number
  /** How long something may wait for a connection while all are taken. */
  acquireTimeoutMs?: number
  /** For the engine: its statements reach rows by id, so a plan that reads a whole table is wrong, whatever statistics say. */
  byId?: boolean
  /** Called whenever one of its sessions has ended. */
  onClose?: () => void
}

// Whoever asked is told to try again while it still listens; the statement before it may take 30 s.
const ACQUIRE_TIMEOUT_MS = 10_000

const BY_ID = { enable_seqscan: 'off', enable_bitmapscan: 'off' }

/** Opens a pool; nothing connects before the first query. */
export async function openPool(address: Address, options: PoolOptions): Promise<Db> {
  const sql = await openClient(address, options)
  const { drizzle } = await import('drizzle-orm/postgres-js')
  return {
    sql,
    orm: drizzle({ client: sql }),
    transaction: (work) => sql.begin(work) as ReturnType<typeof work>,
    close: () => sql.end({ timeout: 5 }),
  }
}

/** A client without Drizzle, for what needs a session of its own: listening, locks. */
export async function openClient(address: Address, options: PoolOptions): Promise<Sql> {
  const postgres = await loadPostgres()
  const settings: postgres.Options<Record<string, never>> & { acquire_timeout: number } = {
    max: options.max,
    connect_timeout: 10,
    // Our own addition to postgres.js: `mend-edits.ts`.
    acquire_timeout: options.acquireTimeoutMs ?? ACQUIRE_TIMEOUT_MS,
    // After an outage we are back within a second or two; left alone, the pauses grow to 20 s.
    backoff: (failures: number) => Math.min(0.05 * 2 ** failures, 1),
    // Never idle out: reconnecting costs more than a sleeping backend.
    idle_timeout: 0,
    max_lifetime: null,
    ...(options.onClose ? { onclose: options.onClose } : {}),
    onnotice: (notice) => options.log.debug({ notice: notice.message }, 'Postgres says'),
    connection: {
      application_name: `postrider ${options.name}`,
      // The promise of the product is durability: what the server's defaults or the role's settings say does not count.
      synchronous_commit: 'on',
      statement_timeout: options.statementTimeoutMs ?? 30_000,
      // Compiling a plan over many partitions costs more than running it.
      jit: 'off',
      ...(options.byId ? BY_ID : {}),
      // A process that was stopped in the middle of a transaction must not hold its locks for long: among them is the one under
      // which every process records attempts.
      idle_in_transaction_session_timeout: 10_000,
    },
  }
  const parts = typeof address === 'string' ? socketOf(address) : address
  return parts ? postgres({ ...parts, ...settings }) : postgres(address as string, settings)
}

/** The parts of a URL that names a Unix socket as libpq does, `postgres://user@localhost/db?host=/run/postgresql`; else null. */
function socketOf(url: string) {
  const { searchParams, username, password, pathname, port } = new URL(url)
  const host = searchParams.get('host')
  if (!host?.startsWith('/')) return null
  return {
    host,
    port: Number(searchParams.get('port') ?? (port || 5432)),
    database: decodeURIComponent(pathname.slice(1)),
    ...(username ? { user: decodeURIComponent(username) } : {}),
    ...(password ? { password: decodeURIComponent(password) } : {}),
  }
}

/** A timestamp column as it comes from `sql`, as a Date. */
export function toDate(text: string): Date
export function toDate(text: string | null): Date | null
export function toDate(text: string | null): Date | null {
  return text === null ? null : new Date(text)
}
