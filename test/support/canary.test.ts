import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { createSearch, everyTable } from './canary.ts'
import { openDatabase } from './database.ts'

const key = randomBytes(32)
const value = `whsec_${key.toString('base64')}`
const { inTraces, inBytes } = createSearch([{ name: 'a secret', value }])

test.each([
  ['as it is', `level=30 secret=${value}.`],
  ['without its prefix', `{"key":"${value.slice(6)}"}`],
  ['cut off', value.slice(0, 30)],
  ['its end', `…${value.slice(-20)}`],
  ['for a URL', `?secret=${encodeURIComponent(value)}`],
  ['as hex', Buffer.from(value).toString('hex')],
  ['its key as hex', key.toString('hex').toUpperCase()],
  ['its key as base64 for URLs', key.toString('base64url')],
  ['its key as bytes', key.toString('latin1')],
  ['in base64', Buffer.from(value).toString('base64')],
  ['inside base64 of more', Buffer.from(`x:${value}`).toString('base64')],
  ['inside base64 of even more', Buffer.from(`xy:${value}:z`).toString('base64url')],
  ['in JSON', JSON.stringify({ value })],
  ['in JSON in JSON', JSON.stringify(JSON.stringify({ value }))],
  ['as a bytea', `1\t\\x${Buffer.from(`…${value}…`).toString('hex')}`],
  ['as base64 in a bytea', `1\t\\x${Buffer.from(Buffer.from(value).toString('base64')).toString('hex')}`],
])('a secret is found %s', (_, text) => {
  expect(inTraces([{ place: 'somewhere', text }])).not.toEqual([])
})

test('nothing else is taken for one', () => {
  const others = Array.from({ length: 1000 }, () => randomBytes(64).toString('base64')).join('\n')
  expect(inTraces([{ place: 'somewhere', text: `whsec_ ${others}` }])).toEqual([])
})

test('in any column of any table, text or bytes, and in bytes', async () => {
  const db = await openDatabase()
  await db.sql`create table postrider.leaking (id int, text text, bytes bytea, json jsonb)`
  await db.sql`insert into postrider.leaking values (1, ${value}, null, null), (2, null, ${Buffer.from(value)}, null), (3, null, null, ${JSON.stringify({ value })}::text::jsonb)`
  for (const id of [1, 2, 3]) {
    await db.sql`create table public.leaking as select * from postrider.leaking where id = ${id}`
    const leaks = inTraces(await everyTable(db))
    expect(new Set(leaks.map(({ place }) => place))).toEqual(
      new Set(['the table postrider.leaking', 'the table public.leaking']),
    )
    await db.sql`drop table public.leaking`
  }
  await db.sql`drop table postrider.leaking`
  expect(inTraces(await everyTable(db))).toEqual([])
  expect(inBytes('a file', Buffer.concat([randomBytes(100), Buffer.from(value), randomBytes(9)]))).not.toEqual([])
  expect(inBytes('a file', Buffer.concat([randomBytes(100), key]))).not.toEqual([])
})
