import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmod,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  rmdir,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import type { Log } from '../log.ts'
import { type Account, barrier, give, makeOpenDirectory, spawnAs } from './account.ts'
import type { Binaries } from './binaries.ts'
import {
  DiskFull,
  ForeignDirectory,
  fileFault,
  NoBinaries,
  StartFailed,
  saysDiskFull,
  UserNotPermitted,
  WrongMajorVersion,
} from './embedded-errors.ts'

/** Says that a cluster is ours, whatever else calls itself one. */
const MARK = 'postrider.cluster'

/** Environment of the server and its tools: none of ours, which holds secrets. English, because we read what they say. */
export const SERVER_ENVIRONMENT = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

export const SUPERUSER = 'postgres'

/**
 * Where the cluster lives: in the data directory, or, when its user cannot get there (root's home), in the shelter with
 * a symbolic link left behind.
 */
export async function placeCluster(dataDir: string, shelter: string, account: Account, log: Log): Promise<string> {
  const wanted = join(dataDir, 'postgres')
  const settled = await realpath(wanted).catch(() => null)
  const hidden = await barrier(settled === null ? dataDir : dirname(settled), account)
  if (hidden === null && settled !== null) return settled
  if (settled === null && (await lstat(wanted).catch(() => null)) !== null)
    throw new ForeignDirectory(wanted, 'a symbolic link that leads nowhere (is a disk not mounted?)')
  if (hidden === null) return wanted
  if (settled !== null && (await contents(settled)).length > 0)
    throw new UserNotPermitted(
      `${settled} cannot be reached by its user ${account.uid}, because ${hidden} is closed to others: open it with chmod o+x`,
    )

  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 16)
  const place = join(shelter, name, 'postgres')
  try {
    // There before the link is: a link that leads nowhere would mean a lost database.
    await makeOpenDirectory(place)
    if (settled !== null) await rmdir(wanted)
    await symlink(place, wanted)
  } catch (error) {
    throw fileFault(error, place)
  }
  log.info({ place }, `The embedded Postgres keeps its files in ${place}: ${hidden} is closed to user ${account.uid}`)
  return realpath(wanted)
}

/** True when a cluster of ours and of the right version is there, false when nothing is; anything else is refused. */
export async function clusterExists(cluster: string, major: number): Promise<boolean> {
  const names = await contents(cluster)
  if (names.length === 0) return false
  if (!names.includes('PG_VERSION')) throw new ForeignDirectory(cluster, 'other files')
  if (!names.includes(MARK)) throw new ForeignDirectory(cluster, 'the database of somebody else')
  const version = (await readFile(join(cluster, 'PG_VERSION'), 'utf8')).trim()
  if (version !== String(major)) throw new WrongMajorVersion(cluster, version, major)
  return true
}

async function contents(path: string): Promise<string[]> {
  return readdir(path).catch((error) => {
    if (error.code === 'ENOENT') return []
    if (error.code === 'ENOTDIR') throw new ForeignDirectory(path, 'a file')
    throw fileFault(error, path)
  })
}

/** Makes a cluster beside its place and moves it there: killed half-way, it leaves nothing that looks like one. */
export async function createCluster(cluster: string, binaries: Binaries, account: Account): Promise<void> {
  const unfinished = `${cluster}.new-${process.pid}`
  try {
    await removeUnfinished(cluster)
    await mkdir(unfinished, { mode: 0o700 })
    await give(unfinished, account)
    await runInitdb(unfinished, binaries, account)
    // The socket is for its owner alone (0700), so whoever reaches it may come in; there is no other door.
    await writeFile(join(unfinished, 'pg_hba.conf'), 'local all all trust\n')
    await writeFile(join(unfinished, MARK), 'Made by Postrider. Do not remove this file.\n')
    await rename(unfinished, cluster)
    // initdb has synced its files; the new name is in the directory above.
    const above = await open(dirname(cluster))
    await above.sync().finally(() => above.close())
  } catch (error) {
    throw fileFault(error, cluster)
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
}

/** What starts that were killed have left. The caller holds the lock of this cluster, so nobody is at work on them. */
async function removeUnfinished(cluster: string): Promise<void> {
  for (const name of await readdir(dirname(cluster)))
    if (name.startsWith(`${basename(cluster)}.new-`))
      await rm(join(dirname(cluster), name), { recursive: true, force: true })
}

async function runInitdb(directory: string, { initdb, major }: Binaries, account: Account): Promise<void> {
  // The builtin provider sorts the same on every machine, whatever its C library; it came with Postgres 17.
  const locale =
    major >= 17
      ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C']
      : [`--locale=${process.platform === 'linux' ? 'C.UTF-8' : 'C'}`]
  const options = ['-D', directory, '-U', SUPERUSER, '-E', 'UTF8', ...locale, '-A', 'trust', '--data-checksums']
  const child = spawn(initdb, options, {
    ...spawnAs(account),
    cwd: '/',
    env: SERVER_ENVIRONMENT,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4000)
  })
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', (error) => reject(new NoBinaries(`${initdb} cannot be run`, error)))
    child.on('close', resolve)
  })
  if (status === 0) return
  if (saysDiskFull(said)) throw new DiskFull(directory)
  // 127: the loader did not find a library.
  if (status === 127) throw new NoBinaries(`${initdb} cannot be run: ${said.trim()}`)
  throw new StartFailed(`initdb could not make the database in ${directory} (status ${status})`, said.trim())
}

/**
 * Where the socket lies: in the cluster, or, when its path would be too long for the operating system, in a private
 * directory in the place for temporary files.
 */
export async function socketDirectory(cluster: string, account: Account): Promise<string> {
  // sun_path: 108 bytes on Linux, 104 on macOS, with the zero at its end.
  const longest = process.platform === 'linux' ? 107 : 103
  const fits = (directory: string) => Buffer.byteLength(join(directory, '.s.PGSQL.5432')) <= longest
  if (fits(cluster)) return cluster

  const name = `postrider-${createHash('sha256').update(cluster).digest('hex').slice(0, 16)}`
  const [directory] = [join(tmpdir(), name), join('/tmp', name)].filter(fits)
  if (directory === undefined)
    throw new UserNotPermitted(`No directory with a short path was found for the socket of ${cluster}`)
  await mkdir(directory, { mode: 0o700 })
    .then(() => give(directory, account))
    .catch((error) => {
      if (error.code !== 'EEXIST') throw fileFault(error, directory)
    })
  // Anybody may have made it before us: not through a link, and nobody else's.
  const found = await lstat(directory)
  if (!found.isDirectory() || found.uid !== account.uid)
    throw new UserNotPermitted(
      `${directory} should hold the socket of Postgres, but belongs to user ${found.uid}: remove it`,
    )
  if ((found.mode & 0o077) !== 0) await chmod(directory, 0o700)
  return directory
}
