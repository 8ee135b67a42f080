import { sql } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { createScans } from '../../src/postgres/scans.ts'
import { startApi } from '../graphql/api.ts'
import { launch, settingsFor } from '../support/app.ts'
import { createDatabase, openDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

const TOO_MUCH = { code: 'TOO_MUCH_TO_READ', path: ['filter'] }

test('of one owner one goes at a time, in their order; others go beside', async () => {
  const scans = createScans(await openDatabase())
  const going: string[] = []
  const end = new Map<string, () => void>()
  const scan = (owner: string, name: string) =>
    scans.run(owner, ['filter'], async () => {
      going.push(name)
      await new Promise<void>((resolve) => end.set(name, resolve))
      return name
    })
  const all = [scan('one', 'a'), scan('one', 'b'), scan('other', 'c'), scan('one', 'd')]
  await eventually(() => expect(going).toEqual(['a', 'c']))
  end.get('a')?.()
  await eventually(() => expect(going).toEqual(['a', 'c', 'b']))
  end.get('b')?.()
  await eventually(() => expect(going).toEqual(['a', 'c', 'b', 'd']))
  for (const name of ['c', 'd']) end.get(name)?.()
  expect(await Promise.all(all)).toEqual(['a', 'b', 'c', 'd'])
})

test('whose turn does not come in time is refused, and nobody behind waits for it', async () => {
  const scans = createScans(await openDatabase(), 200)
  const gate = Promise.withResolvers<void>()
  const first = scans.run('one', ['filter'], () => gate.promise)
  await expect(scans.run('one', ['filter'], async () => {})).rejects.toMatchObject({
    ...TOO_MUCH,
    message: expect.stringContaining('Try again in a moment'),
  })
  const third = scans.run('one', ['filter'], async () => 3)
  gate.resolve()
  await first
  expect(await third).toBe(3)
  expect(await scans.run('one', ['filter'], async () => 4)).toBe(4)
})

test('what takes too long, or finds no connection, is refused with advice; other errors stay what they are', async () => {
  const db = await openDatabase(undefined, { max: 1, statementTimeoutMs: 100, acquireTimeoutMs: 300 })
  const scans = createScans(db)
  const sleep = (owner: string) =>
    scans.run(owner, ['filter'], (orm) =>
      orm.execute(sql`select pg_sleep(case when ${owner} = 'slow' then 10 else 0 end)`),
    )
  await expect(sleep('slow')).rejects.toMatchObject({ ...TOO_MUCH, message: expect.stringContaining('Give since') })
  expect(await sleep('quick')).toHaveLength(1)
  const taken = await db.sql.reserve()
  await expect(sleep('quick')).rejects.toMatchObject(TOO_MUCH)
  taken.release()
  await expect(scans.run('one', ['filter'], (orm) => orm.execute(sql`select 1 / 0`))).rejects.toMatchObject({
    cause: { code: '22012' },
  })
})

test('lists with a filter, previews and starts wait for their tenant’s turn; times alone, and others, do not', async () => {
  const { ask, send, scans, tenantId, newTenant, newKey } = await startApi()
  const other = await newKey({ tenantId: await newTenant('acme') })
  const gate = Promise.withResolvers<void>()
  const held = scans.run(tenantId, [], () => gate.promise)
  let answered = 0
  const select = '{ deliveries: {} }'
  const waiting = [
    '{ events(filter: { types: ["never"] }) { nodes { id } } }',
    '{ deliveries(filter: { eventTypes: ["never"] }) { nodes { id } } }',
    '{ attempts(filter: { eventTypes: ["never"] }) { nodes { id } } }',
    `{ replayPreview(input: { select: ${select} }) { total } }`,
    `mutation { replayStart(input: { select: ${select} }) { replay { total } } }`,
  ].map((document) => ask(document).finally(() => answered++))
  await ask('{ events(filter: { since: "2026-01-01T00:00:00Z" }) { nodes { id } } deliveries { nodes { id } } }')
  await ask('{ events(filter: { types: ["never"] }) { nodes { id } } }', {}, other)
  expect(answered).toBe(0)
  gate.resolve()
  await held
  await Promise.all(waiting)

  const many = Array.from({ length: 5 }, (_, n) => `a${n}: replayPreview(input: { select: ${select} }) { total }`)
  expect((await send(`{ ${many.join(' ')} }`)).errors).toMatchObject([{ extensions: { code: 'DOCUMENT_TOO_LARGE' } }])
  await ask(`{ ${many.slice(0, 4).join(' ')} }`)
})

test('/ready answers while all connections of the API are taken', async () => {
  const address = await createDatabase()
  const db = await openDatabase(address)
  const { api } = await launch(await settingsFor(address))
  const { url, ask } = api()
  await ask('{ viewer { id } }')
  // The lock is let go at the end of the transaction, whatever becomes of the test.
  await db.transaction(async (tx) => {
    await tx`lock table postrider.events in access exclusive mode`
    const stuck = Array.from({ length: 12 }, () => ask('{ events { nodes { id } } }').catch(() => null))
    await eventually(async () => {
      const rows = await db.sql`
        select from pg_stat_activity
        where datname = current_database() and application_name = 'postrider api' and wait_event_type = 'Lock'`
      expect(rows).toHaveLength(10)
    })
    expect((await fetch(`${url}/ready`)).status).toBe(200)
    expect(stuck).toHaveLength(12)
  })
})
