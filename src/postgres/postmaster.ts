import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { open, readFile, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, isAbsolute, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Account, spawnAs } from './account.ts'
import type { Binaries } from './binaries.ts'
import { SERVER_ENVIRONMENT, SUPERUSER } from './cluster.ts'
import { DiskFull, fileFault, NoBinaries, StartFailed, StopFailed, saysDiskFull } from './embedded-errors.ts'
import { loadPostgres } from './mend.ts'

/** The server process of a cluster. */
export type Postmaster = { pid: number; cluster: string; socketDirectory: string }

export const PORT = 5432

const POLL_MS = 10
const ANSWER_DEADLINE_MS = 60_000
// Crash recovery replays up to max_wal_size of log: seconds as a rule, minutes on a slow disk.
const RECOVERY_DEADLINE_MS = 600_000
const FAST_STOP_MS = 30_000
const IMMEDIATE_STOP_MS = 10_000
const LOG_LIMIT_BYTES = 10 * 1024 * 1024

/** The server that runs on this cluster already, ready for use; null when there is none. */
export async function findRunning(cluster: string): Promise<Postmaster | null> {
  const lines = (await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')
  const pid = Number(lines[0])
  if (!(pid > 1)) return null
  const found = { pid, cluster, socketDirectory: lines[4] || cluster }
  const deadline = performance.now() + RECOVERY_DEADLINE_MS
  // It may be starting, recovering or stopping: that is known when it answers, or ends.
  while (await isPostmaster(found)) {
    if ((await ask(found)) === 'ready') return found
    if (performance.now() > deadline)
      throw new StartFailed(`Postgres (process ${pid}) runs on ${cluster}, but does not answer`, '')
    await wait(POLL_MS)
  }
  // A dead server's file, whose number may be another process's by now (in a container, often our own): Postgres would
  // take that process for a living server and refuse to start.
  if ((await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')[0] === lines[0])
    await rm(join(cluster, 'postmaster.pid'), { force: true })
  return null
}

type StartOptions = {
  cluster: string
  socketDirectory: string
  binaries: Binaries
  account: Account
  logFile: string
  settings: Record<string, string>
}

/** Starts a server that outlives this process, and waits until it answers. */
export async function startPostmaster(options: StartOptions): Promise<Postmaster> {
  const deadline = performance.now() + 15_000
  for (;;) {
    const { child, logStart } = await launch(options)
    const postmaster = { pid: child.pid as number, cluster: options.cluster, socketDirectory: options.socketDirectory }
    const fate = await ready(child, postmaster)
    if (fate === 'ready') return postmaster
    const words = await lastWords(options.logFile, logStart)
    // Killed with -9, a server leaves its sessions behind for a moment, and they its memory: the only sign is this text.
    if (
      fate === 'ended' &&
      /pre-existing shared memory block .* is still in use/.test(words) &&
      performance.now() < deadline
    ) {
      await wait(100)
      continue
    }
    if (fate === 'late') await stopPostmaster(postmaster).catch(() => {})
    if (saysDiskFull(words)) throw new DiskFull(options.cluster)
    throw new StartFailed(
      fate === 'late'
        ? `Postgres was started on ${options.cluster}, but did not answer in time`
        : `Postgres was started on ${options.cluster}, but gave up (status ${child.exitCode ?? child.signalCode})`,
      words,
    )
  }
}

async function launch({ cluster, socketDirectory, binaries, account, logFile, settings }: StartOptions) {
  const logStart = await rotate(logFile)
  const log = await open(logFile, 'a', 0o600).catch((error) => {
    throw fileFault(error, logFile)
  })
  try {
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const child = spawn(binaries.postgres, ['-D', cluster, '-k', socketDirectory, '-p', String(PORT), ...flags], {
      ...spawnAs(account),
      cwd: '/',
      env: SERVER_ENVIRONMENT,
      // A session of its own: neither Ctrl-C in the terminal nor our own end reaches it.
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    })
    await new Promise((resolve, reject) => {
      child.on('spawn', resolve)
      child.on('error', (error) => reject(new NoBinaries(`${binaries.postgres} cannot be run`, error)))
    })
    child.unref()
    return { child, logStart }
  } finally {
    await log.close()
  }
}

/** Keeps one log before this one; says where the words of this start begin. */
async function rotate(logFile: string): Promise<number> {
  const size = await stat(logFile).then(
    (found) => found.size,
    () => 0,
  )
  if (size < LOG_LIMIT_BYTES) return size
  await rename(logFile, `${logFile}.1`)
  return 0
}

async function lastWords(logFile: string, from: number): Promise<string> {
  const text = (await readFile(logFile).catch(() => Buffer.alloc(0))).subarray(from).toString('utf8')
  return text.trimEnd().split('\n').slice(-12).join('\n')
}

async function ready(child: ChildProcess, postmaster: Postmaster): Promise<'ready' | 'ended' | 'late'> {
  const start = performance.now()
  while (child.exitCode === null && child.signalCode === null) {
    const answer = await ask(postmaster)
    if (answer === 'ready') return 'ready'
    const patience = answer === 'recovering' ? RECOVERY_DEADLINE_MS : ANSWER_DEADLINE_MS
    if (performance.now() - start > patience) return 'late'
    await wait(POLL_MS)
  }
  return 'ended'
}

/** Whether the server at this socket is the one of this cluster, and takes queries. */
async function ask({ cluster, socketDirectory }: Postmaster): Promise<'ready' | 'recovering' | 'silent'> {
  // Cheaper than a try to connect, of which a start needs dozens.
  if ((await stat(join(socketDirectory, `.s.PGSQL.${PORT}`)).catch(() => null)) === null) return 'silent'
  const postgres = await loadPostgres()
  const sql = postgres({
    ...adminAddress(socketDirectory),
    max: 1,
    connect_timeout: 5,
    fetch_types: false,
    onnotice() {},
  })
  try {
    const [row] = await sql`show data_directory`
    return (await realpath(row?.data_directory).catch(() => null)) === cluster ? 'ready' : 'silent'
  } catch (error) {
    // 57P03 cannot_connect_now: it is starting, recovering or shutting down.
    return (error as { code?: string }).code === '57P03' ? 'recovering' : 'silent'
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** A superuser's way in, for what only he may do. */
export function adminAddress(socketDirectory: string) {
  return { host: socketDirectory, port: PORT, user: SUPERUSER, database: 'postgres' }
}

/** Stops a server, started by us or adopted: sessions are ended and everything is written (SIGINT), else at once (SIGQUIT). */
export async function stopPostmaster(postmaster: Postmaster): Promise<void> {
  for (const [signal, patience] of [
    ['SIGINT', FAST_STOP_MS],
    ['SIGQUIT', IMMEDIATE_STOP_MS],
  ] as const) {
    if (!(await isPostmaster(postmaster))) return
    send(postmaster.pid, signal)
    const deadline = performance.now() + patience
    while (performance.now() < deadline) {
      if (!(await isPostmaster(postmaster))) return
      await wait(POLL_MS)
    }
  }
  throw new StopFailed(postmaster.pid)
}

function send(pid: number, signal: NodeJS.Signals) {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as { code?: string }).code !== 'ESRCH') throw error
  }
}

/**
 * Whether the process that the cluster's postmaster.pid names is a living server of it, by the command it was started
 * with: that can be read of another user's process too, where its working directory cannot (root in a container). A server
 * started by hand may name its directory in another way; one that names another directory is another server.
 */
export async function isPostmaster({ pid, cluster }: Postmaster): Promise<boolean> {
  const { program, directory } = await commandOf(pid)
  if (basename(program) !== 'postgres') return false
  if (directory === undefined || !isAbsolute(directory)) return true
  return (await realpath(directory).catch(() => directory)) === cluster
}

/** Nothing for a process that is no more, or that nobody has collected yet. */
async function commandOf(pid: number): Promise<{ program: string; directory: string | undefined }> {
  if (process.platform === 'linux') {
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0')
    return { program: words[0] ?? '', directory: words.includes('-D') ? words[words.indexOf('-D') + 1] : undefined }
  }
  const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', 'command=', '-p', String(pid)]).catch(() => ({
    stdout: '',
  }))
  // Split at the options, not at the spaces, which paths may have.
  const [program, ...options] = stdout.trim().split(/ (?=-[a-zA-Z] )/)
  return { program: program ?? '', directory: options.find((option) => option.startsWith('-D '))?.slice(3) }
}
