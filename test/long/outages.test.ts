import { execFile } from 'node:child_process'
import { appendFile, chmod, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { openPool } from '../../src/postgres/client.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/postgres/embedded.ts'
import { keepRunning } from '../../src/postgres/keep-running.ts'
import {
  type Api,
  createEndpoint,
  databaseUrl,
  launch,
  publish,
  settingsFor,
  temporaryDirectory,
} from '../support/app.ts'
import { openDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { type Publishers, startPublishers } from '../support/publishers.ts'
import { type Receiver, startReceiver } from '../support/receiver.ts'

const run = promisify(execFile)
const binDir = process.env.POSTRIDER_TEST_POSTGRES_BIN
const programs = binDir ? { binDir } : {}

async function openDirectory(): Promise<string> {
  const directory = await temporaryDirectory()
  await chmod(directory, 0o755)
  return directory
}

async function asAdmin(server: EmbeddedPostgres, ...statements: string[]) {
  const admin = await openPool(server.admin, { max: 1, name: 'test', log: silentLog })
  for (const statement of statements) await admin.sql.unsafe(statement)
  await admin.close()
}

function load(api: Api, payloadBytes = 10): Publishers {
  const payload = { text: 'x'.repeat(payloadBytes) }
  return startPublishers({ apis: () => [api], count: 4, pauseMs: 50, event: () => ({ type: 'order.placed', payload }) })
}

const go = (publishers: Publishers, more: number, deadlineMs = 30_000) => {
  const before = publishers.acknowledged.size
  return eventually(() => expect(publishers.acknowledged.size).toBeGreaterThan(before + more), deadlineMs)
}

const refused = ({ refusals }: Publishers) => [...refusals.values()].reduce((sum, count) => sum + count, 0)

/** Every acknowledged event has arrived, and there are no others. */
async function expectNothingLost(publishers: Publishers, receiver: Receiver, server: EmbeddedPostgres) {
  await publishers.stop()
  const ids = new Set(publishers.acknowledged.values())
  const arrived = () => new Set(receiver.requests.map(({ headers }) => String(headers['webhook-id'])))
  // Claims whose answer got lost with the session lapse after a minute, and are looked for every ten seconds.
  await eventually(() => expect(ids.difference(arrived()).size).toBe(0), 100_000)
  expect(arrived().difference(ids).size).toBe(0)
  const db = await openDatabase({ ...server.admin, database: server.address.database })
  const [row] = await db.sql`select count(*)::int as n from postrider.events`
  await db.close()
  expect(row?.n).toBe(ids.size)
  expect(publishers.unexpected).toEqual([])
  console.log({ acknowledged: ids.size, requests: receiver.requests.length, refusals: publishers.refusals })
}

test('30 s without Postgres under load: publishers are told to try again, the log stays readable, nothing is lost', async () => {
  const dataDir = await openDirectory()
  const start = () => startEmbeddedPostgres({ dataDir, log: silentLog, ...programs })
  let server = await start()
  onTestFinished(() => server.stop())
  const postrider = await launch(await settingsFor(server.address))
  const receiver = await startReceiver()
  await createEndpoint(postrider.api(), { url: receiver.url })
  const publishers = load(postrider.api())
  await go(publishers, 50)

  await server.stop()
  await wait(30_000)
  expect(refused(publishers)).toBeGreaterThan(10)
  server = await start()
  await go(publishers, 50)

  await expectNothingLost(publishers, receiver, server)
  const lines = postrider.output().split('\n')
  console.log({ linesLogged: lines.length })
  expect(lines.length).toBeLessThan(15)
  expect(postrider.output()).toContain('The database is available again')
  expect(await postrider.stop()).toBe(0)
})

test('a password that was changed: a start refuses, what runs says so, and both work when it is right again', async () => {
  const dataDir = await openDirectory()
  const server = await startEmbeddedPostgres({ dataDir, log: silentLog, ...programs })
  onTestFinished(() => server.stop())
  const role = server.address.user
  const letIn = async (how: string, password: string) => {
    await writeFile(join(dataDir, 'postgres', 'pg_hba.conf'), `local all ${role} ${how}\nlocal all all trust\n`)
    const cut = `select pg_terminate_backend(pid) from pg_stat_activity where usename = '${role}'`
    await asAdmin(server, `alter role ${role} password '${password}'`, 'select pg_reload_conf()', cut)
  }
  await letIn('scram-sha-256', 'hunter2')
  const url = databaseUrl(server.address).replace(`${role}@`, `${role}:hunter2@`)
  const settings = { ...(await settingsFor(server.address)), DATABASE_URL: url }
  const wrong = { ...settings, DATABASE_URL: url.replace('hunter2', 'hunter3') }
  const refusal = await launch(wrong).catch((error: Error) => error.message)
  expect(refusal).toMatch(/ended with 1:\nThe server refused the password\. Check user and password in DATABASE_URL/)
  expect(refusal).not.toContain('hunter')

  const postrider = await launch(settings)
  const receiver = await startReceiver()
  await createEndpoint(postrider.api(), { url: receiver.url })
  const publishers = load(postrider.api())
  await go(publishers, 20)
  await letIn('scram-sha-256', 'changed')
  await eventually(() => expect(refused(publishers)).toBeGreaterThan(10), 30_000)
  expect((await fetch(`${postrider.api().url}/ready`)).status).toBe(503)
  expect(postrider.output()).toContain('password authentication failed')
  expect(postrider.output()).not.toContain('hunter')

  await letIn('scram-sha-256', 'hunter2')
  await go(publishers, 20)
  await expectNothingLost(publishers, receiver, server)
  expect(await postrider.stop()).toBe(0)
})

/** A small disk of its own; null where none may be mounted. */
async function smallDisk(megabytes: number): Promise<string | null> {
  const directory = await openDirectory()
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=755`, 'tmpfs', directory])
  } catch {
    return null
  }
  onTestFinished(() => run('umount', ['-l', directory]).then(() => {}))
  return directory
}

/** Takes all the room there is, also what is given back meanwhile, until it is told to stop. */
function fill(disk: string) {
  const filler = join(disk, 'filler')
  let full = true
  const filling = (async () => {
    while (full) {
      const { bavail, bsize } = await statfs(disk)
      await appendFile(filler, Buffer.alloc(bavail * bsize)).catch(() => {})
      await wait(20)
    }
  })()
  return async () => {
    full = false
    await filling
    await rm(filler, { force: true })
  }
}

test('a full disk under load: publishers are told to try again, and with room again it goes on by itself', async (context) => {
  const disk = await smallDisk(300)
  if (disk === null) return context.skip('no tmpfs may be mounted here')
  const settings = { max_wal_size: '48MB', min_wal_size: '32MB' }
  const start = (mayCreate: boolean) =>
    startEmbeddedPostgres({ dataDir: join(disk, 'data'), log: silentLog, settings, mayCreate, ...programs })
  const server = await start(true)
  // Postgres itself may end when it cannot write its log: then somebody starts it again, here as the embedded one is.
  const kept = keepRunning({ server, start: () => start(false), log: silentLog })
  onTestFinished(() => kept.stop())
  const postrider = await launch(await settingsFor(server.address))
  const receiver = await startReceiver()
  await createEndpoint(postrider.api(), { url: receiver.url })
  const publishers = load(postrider.api(), 100_000)
  await go(publishers, 20)

  const makeRoom = fill(disk)
  await eventually(() => expect(refused(publishers)).toBeGreaterThan(20), 120_000)
  expect(postrider.output()).toMatch(/No space left on device|57P0|CONNECTION|ENOENT/)
  await makeRoom()
  await go(publishers, 20, 60_000)

  await expectNothingLost(publishers, receiver, server)
  console.log({ linesLogged: postrider.output().split('\n').length })
  expect(await postrider.stop()).toBe(0)
})

test('the disk of the embedded Postgres is full: it says so, where, and starts when there is room', async (context) => {
  const disk = await smallDisk(200)
  if (disk === null) return context.skip('no tmpfs may be mounted here')
  const environment = {
    POSTRIDER_DATA_DIR: join(disk, 'data'),
    POSTRIDER_ADMIN_KEY: 'prk_an_admin_key_for_the_tests_only',
  }
  const refusal = () => launch(environment).catch((error: Error) => error.message)
  const message = /ended with 1:\n(.*\n)*No space is left on the disk of .*data/
  await writeFile(join(disk, 'other'), Buffer.alloc(180 * 2 ** 20))
  expect(await refusal()).toMatch(message)
  await rm(join(disk, 'other'))

  const postrider = await launch(environment)
  await publish(postrider.api(), { type: 'order.placed', payload: {} })
  expect(await postrider.stop()).toBe(0)
  const makeRoom = fill(disk)
  await eventually(async () => expect((await statfs(disk)).bavail).toBe(0))
  expect(await refusal()).toMatch(message)
  await makeRoom()
  const again = await launch(environment)
  const { events } = await again.api().ask<{ events: { nodes: unknown[] } }>('{ events { nodes { id } } }')
  expect(events.nodes).toHaveLength(1)
  expect(await again.stop()).toBe(0)
})
