import { expect, test } from 'vitest'
import { type ApiKeyId, newId } from '../../schema/ids.ts'
import { SYSTEM } from '../../src/audit/actor.ts'
import { silentLog } from '../../src/log.ts'
import type { Sql } from '../../src/postgres/client.ts'
import { makeApiKey } from '../../src/tenants/api-keys.ts'
import { createKeyUsage } from '../../src/tenants/key-usage.ts'
import { openDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

const at = (second: number) => new Date(Date.UTC(2026, 10, 20, 12, 0, second))

async function world(options: { everyMs: number; firstAfterMs: number }) {
  const { orm, sql } = await openDatabase()
  const keys: ApiKeyId[] = []
  for (let i = 0; i < 3; i++) {
    keys.push((await makeApiKey(orm, SYSTEM, { tenantId: null, name: `key ${i}`, scopes: ['READ'] }, at(0))).apiKey.id)
  }
  let statements = 0
  const counted = new Proxy(sql, {
    apply(target, self, args) {
      if (String(args[0]?.raw).includes('last_used_at')) statements++
      return Reflect.apply(target, self, args)
    },
  }) as Sql
  const usage = createKeyUsage({ sql: counted, log: silentLog, ...options })
  const used = async () => {
    const rows = await sql`select last_used_at as at from postrider.api_keys order by name`
    return rows.map(({ at }) => at && new Date(at).toISOString())
  }
  return { usage, keys: keys as [ApiKeyId, ApiKeyId, ApiKeyId], used, statements: () => statements }
}

test('a thousand uses of two keys are one statement, and the others stay as they were', async () => {
  const { usage, keys, used, statements } = await world({ everyMs: 60_000, firstAfterMs: 50 })
  for (let i = 0; i < 1000; i++) usage.note(keys[i % 2] as ApiKeyId, at(i % 60))
  expect(statements()).toBe(0)
  await eventually(async () => expect(await used()).toEqual([at(38).toISOString(), at(39).toISOString(), null]))
  expect(statements()).toBe(1)
})

test('what is used again within the time waits for it, and is written at the end', async () => {
  const { usage, keys, used, statements } = await world({ everyMs: 60_000, firstAfterMs: 1 })
  usage.note(keys[0], at(1))
  await eventually(async () => expect((await used())[0]).toBe(at(1).toISOString()))
  usage.note(keys[0], at(2))
  usage.note(keys[1], at(3))
  // Longer than the first one took.
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(statements()).toBe(1)
  await usage.close()
  expect(await used()).toEqual([at(2).toISOString(), at(3).toISOString(), null])
  expect(statements()).toBe(2)
})

test('while nobody asks, nothing is written, and a moment never goes back', async () => {
  const { usage, keys, used, statements } = await world({ everyMs: 1, firstAfterMs: 1 })
  usage.note(keys[0], at(30))
  await eventually(async () => expect((await used())[0]).toBe(at(30).toISOString()))
  usage.note(keys[0], at(10))
  usage.note(newId(new Date()), at(10))
  await eventually(() => expect(statements()).toBe(2))
  await usage.close()
  expect((await used())[0]).toBe(at(30).toISOString())
  expect(statements()).toBe(2)
})

test('keys are locked in the order of their ids, so that two processes which note the same ones do not wait for each other', async () => {
  const { orm, sql } = await openDatabase()
  const keys: ApiKeyId[] = []
  for (let i = 0; i < 20; i++) {
    const made = await makeApiKey(orm, SYSTEM, { tenantId: null, name: 'one', scopes: ['READ'] }, at(i))
    keys.unshift(made.apiKey.id)
  }
  // Neither as they lie on the disk nor as they are noted: the last one comes first in both.
  for (const id of keys) await sql`update postrider.api_keys set name = 'moved' where id = ${id}`
  const [last, ...others] = keys as [ApiKeyId, ...ApiKeyId[]]
  const usage = createKeyUsage({ sql, log: silentLog })
  for (const id of keys) usage.note(id, at(30))
  const other = await sql.reserve()
  await other`begin`
  await other`select from postrider.api_keys where id = ${last} for update`
  const written = usage.close()
  await eventually(async () => {
    const waiting = await sql`
      select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    expect(waiting).toHaveLength(1)
  })
  const free = await other`select from postrider.api_keys where id = any(${others}) for update skip locked`
  await other`commit`
  other.release()
  await written
  expect(free).toHaveLength(0)
})
