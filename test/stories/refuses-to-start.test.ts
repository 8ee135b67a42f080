import { createServer } from 'node:net'
import { expect, inject, onTestFinished, test } from 'vitest'
import type { Db } from '../../src/postgres/client.ts'
import { checkDatabase } from '../../src/postgres/preflight.ts'
import { databaseUrl, launch, temporaryDirectory } from '../support/app.ts'
import { createDatabase, openDatabase } from '../support/database.ts'

const POSTRIDER_MASTER_KEYS = Buffer.alloc(32, 9).toString('base64')

/** What it says before it ends, which it must with exit code 1. */
async function refusal(environment: Record<string, string>): Promise<string> {
  const POSTRIDER_DATA_DIR = await temporaryDirectory()
  const message = await launch({ POSTRIDER_MASTER_KEYS, POSTRIDER_DATA_DIR, ...environment }).then(
    async (server) => {
      await server.stop()
      return 'it started'
    },
    (error: Error) => error.message,
  )
  expect(message).toContain('the server ended with 1')
  // A plain message, not a stack.
  expect(message).not.toMatch(/\n\s+at /)
  return message
}

test('every fault of the configuration is told at once, by name, and no secret with it', async () => {
  const message = await refusal({
    PORT: 'no',
    DATABASE_URL: 'mysql://root:hunter2@db/x',
    POSTRIDER_ROLE: 'boss',
    POSTRIDER_MASTER_KEYS: '',
  })
  expect(message).toMatch(/PORT must be a whole number/)
  expect(message).toMatch(/DATABASE_URL must look like/)
  expect(message).toMatch(/POSTRIDER_ROLE must be all, api or worker/)
  expect(message).not.toContain('hunter2')
})

test('a malformed list of networks', async () => {
  expect(await refusal({ POSTRIDER_ALLOW_NETWORKS: '10.0.0.0/33, localhost' })).toMatch(/10\.0\.0\.0\/33/)
})

test('a network written as one of its addresses, and a variable that is misspelt', async () => {
  const message = await refusal({ POSTRIDER_ALLOW_NETWORKS: '10.0.0.5/8', POSTRIDER_ALOW_HOSTS: 'localhost' })
  expect(message).toMatch(
    /"10\.0\.0\.5\/8" names an address and a network at once: write 10\.0\.0\.0\/8 or 10\.0\.0\.5/,
  )
  expect(message).toMatch(/POSTRIDER_ALOW_HOSTS means nothing: POSTRIDER_ALLOW_HOSTS is the nearest that does/)
})

test('a server that is not there', async () => {
  const free = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => free.once('listening', resolve))
  const { port } = free.address() as { port: number }
  await new Promise((resolve) => free.close(resolve))
  const message = await refusal({ DATABASE_URL: `postgres://someone:hunter2@127.0.0.1:${port}/postrider` })
  expect(message).toMatch(/Nothing listens where DATABASE_URL points/)
  expect(message).not.toContain('hunter2')
})

test('something that is no Postgres', async () => {
  const other = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(0, '127.0.0.1')
  await new Promise((resolve) => other.once('listening', resolve))
  onTestFinished(() => void other.close())
  const { port } = other.address() as { port: number }
  expect(await refusal({ DATABASE_URL: `postgres://someone@127.0.0.1:${port}/postrider` })).toMatch(
    /may not be PostgreSQL|does not answer/,
  )
})

test('a database that is not there', async () => {
  const address = inject('postgresAddress')
  expect(await refusal({ DATABASE_URL: databaseUrl({ ...address, database: 'no_such' }) })).toMatch(
    /no database of that name/,
  )
})

test('a role that may not create schemas', async () => {
  const address = await createDatabase()
  const admin = await openDatabase({ ...inject('postgresAdminAddress'), database: address.database })
  const role = `guest_${address.database}`
  await admin.sql.unsafe(`drop schema postrider cascade; create role ${role} login`)
  onTestFinished(() => admin.sql.unsafe(`drop role ${role}`).then(() => {}))
  expect(await refusal({ DATABASE_URL: databaseUrl({ ...address, user: role }) })).toMatch(/grant create on database/)
})

test('other master keys than those that sealed the secrets', async () => {
  const DATABASE_URL = databaseUrl(await createDatabase())
  const first = await launch({ DATABASE_URL, POSTRIDER_MASTER_KEYS, POSTRIDER_DATA_DIR: await temporaryDirectory() })
  await first.stop()
  const other = Buffer.alloc(32, 1).toString('base64')
  expect(await refusal({ DATABASE_URL, POSTRIDER_MASTER_KEYS: other })).toMatch(/sealed with another master key/)
})

test.each([
  ['too old', { version: 140_010, versionName: '14.10' }, 'DATABASE_TOO_OLD'],
  ['a standby', { inRecovery: true }, 'DATABASE_RIGHTS'],
  ['not in UTF8', { encoding: 'LATIN1' }, 'DATABASE_RIGHTS'],
  ['not durable', { fsync: 'off' }, 'DATABASE_NOT_DURABLE'],
])('a server that is %s', async (_, facts, code) => {
  const good = {
    version: 150_000,
    versionName: '15.0',
    fsync: 'on',
    fullPageWrites: 'on',
    encoding: 'UTF8',
    user: 'u',
    database: 'd',
    mayCreate: true,
    inRecovery: false,
  }
  const db = { sql: async () => [{ ...good, ...facts }] } as unknown as Db
  await expect(checkDatabase(db)).rejects.toMatchObject({ code })
})
