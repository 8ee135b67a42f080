import { expect, inject, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { openClient } from '../../src/postgres/client.ts'
import { announcePresence } from '../../src/postgres/presence.ts'
import { createDatabase, openDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

test('whoever is there is not alone, also after its session was cut', async () => {
  const address = await createDatabase()
  const announce = async () => {
    const sql = await openClient(address, { max: 1, name: 'presence', log: silentLog })
    const presence = await announcePresence(sql, { againMs: 50 })
    const leave = async () => {
      presence.end()
      await sql.end()
    }
    onTestFinished(leave)
    return { ...presence, leave }
  }
  const first = await announce()
  expect(first.alone).toBe(true)
  const second = await announce()
  expect(second.alone).toBe(false)
  await second.leave()

  const admin = await openDatabase({ ...inject('postgresAdminAddress'), database: address.database })
  const sessions = () => admin.sql`
    select pid from pg_locks where locktype = 'advisory' and granted and database = (select oid from pg_database where datname = current_database())`
  const before = (
    await eventually(async () => {
      const rows = await sessions()
      expect(rows).toHaveLength(1)
      return rows
    })
  )[0]?.pid
  await admin.sql`select pg_terminate_backend(${before})`
  await eventually(async () => {
    const rows = await sessions()
    expect(rows).toHaveLength(1)
    expect(rows[0]?.pid).not.toBe(before)
  })
  expect((await announce()).alone).toBe(false)
})

test('at a server that has just started nobody is sure to be alone', async () => {
  const sql = await openClient(await createDatabase(), { max: 1, name: 'presence', log: silentLog })
  const { alone, end } = await announcePresence(sql, { settledMs: 86_400_000 })
  onTestFinished(async () => {
    end()
    await sql.end()
  })
  expect(alone).toBe(false)
})
