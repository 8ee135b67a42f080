import { expect, inject, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { openClient } from '../../src/postgres/client.ts'
import { announcePresence, WORKER_POOL } from '../../src/postgres/presence.ts'
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

test('a worker whose announcement was cut off is not taken for dead', async () => {
  const address = await createDatabase()
  const announce = async () => {
    const sql = await openClient(address, { max: 1, name: 'presence', log: silentLog })
    const { alone, end } = await announcePresence(sql, { settledMs: 1 })
    end()
    await sql.end()
    return alone
  }
  const worker = await openDatabase(address, { name: WORKER_POOL })
  await worker.sql`select 1`
  expect(await announce()).toBe(false)
  // Killed in the middle of a statement: its session ends with that.
  const leaving = worker.sql`select pg_sleep(0.3)`.then(() => worker.close())
  expect(await announce()).toBe(true)
  await leaving
})

test('whoever lost its session is back at once', async () => {
  const address = await createDatabase()
  let comeBack = () => {}
  const sql = await openClient(address, { max: 1, name: 'presence', log: silentLog, onClose: () => comeBack() })
  const presence = await announcePresence(sql, { againMs: 60_000 })
  comeBack = () => void presence.comeBack()
  onTestFinished(async () => {
    presence.end()
    await sql.end()
  })
  const other = await openDatabase(address)
  await other.sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name = 'postrider presence'`
  await eventually(async () => {
    const locks = await other.sql`
      select from pg_locks where locktype = 'advisory' and granted and database = (select oid from pg_database where datname = current_database())`
    expect(locks).toHaveLength(1)
  })
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
