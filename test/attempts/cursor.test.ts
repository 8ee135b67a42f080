import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { newId } from '../../schema/ids.ts'
import { createFeedCursors, type Place } from '../../src/attempts/cursor.ts'
import { parseMasterKeys } from '../../src/sealing/master-keys.ts'

const EPOCH = '0123456789ab'
const PLACE: Place = { position: 123_456, atMs: 1_790_000_000_000 }
const REFUSED = expect.objectContaining({ code: 'INVALID_INPUT', path: ['after'] })
const [acme, globex] = [newId<'ten'>(new Date()), newId<'ten'>(new Date())]
const [oldKey, newKey, otherKey] = [9, 8, 7].map(() => randomBytes(32).toString('base64'))
const cursorsWith = (...keys: (string | undefined)[]) => createFeedCursors(parseMasterKeys(keys.join(',')), EPOCH)

test('a cursor is read as it was written, to the second before', () => {
  const { write, read } = cursorsWith(newKey)(acme)
  for (const position of [0, 1, 123_456, 2 ** 48 - 1]) {
    expect(read(write({ position, atMs: PLACE.atMs + 999 }), [])).toEqual({ position, atMs: PLACE.atMs })
  }
})

test('cursors tell nothing of where they are: not by what is in them, nor by being alike', () => {
  const { write } = cursorsWith(newKey)(acme)
  const places = [PLACE, PLACE, ...Array.from({ length: 998 }, (_, more) => ({ ...PLACE, position: more }))]
  const written = places.map((place) => Buffer.from(write(place), 'base64url'))
  expect(new Set(written.map((cursor) => cursor.toString('hex'))).size).toBe(1000)
  expect(new Set(written.map((cursor) => cursor.toString('hex', 0, 15))).size).toBe(1)
  // Each byte of the rest takes all values, for a thousand places that differ in two bytes.
  for (let at = 15; at < 31; at++) {
    expect(new Set(written.map((cursor) => cursor[at])).size, `byte ${at}`).toBeGreaterThan(200)
  }
})

test('a cursor is of use to the tenant that it was given to, and one for all tenants to each of them', () => {
  const cursors = cursorsWith(newKey)
  const given = cursors(acme).write(PLACE)
  expect(cursors(acme).read(given, ['after'])).toEqual(PLACE)
  for (const reach of [globex, 'every'] as const) expect(() => cursors(reach).read(given, ['after'])).toThrow(REFUSED)
  expect(cursors(acme).read(cursors('every').write(PLACE), [])).toEqual(PLACE)
})

test('a cursor that was altered is foreign by its head, and refused by everything else', () => {
  const { write, read } = cursorsWith(newKey)(acme)
  const whole = Buffer.from(write(PLACE), 'base64url')
  for (const at of whole.keys()) {
    const altered = Buffer.from(whole)
    altered[at] = (altered[at] as number) ^ 1
    const reading = () => read(altered.toString('base64url'), ['after'])
    if (at < 15) expect(reading()).toBe('foreign')
    else expect(reading).toThrow(REFUSED)
  }
  const text = whole.toString('base64url')
  for (const other of ['', 'nonsense', text.slice(0, -1), `${text}A`, `${text}=`, ` ${text}`]) {
    expect(() => read(other, ['after'])).toThrow(REFUSED)
  }
})

test('a cursor lives on while the key that wrote it is among the master keys, and is foreign afterwards', () => {
  const before = cursorsWith(oldKey)(acme).write(PLACE)
  const rotated = cursorsWith(newKey, oldKey)(acme)
  expect(rotated.read(before, [])).toEqual(PLACE)
  const since = rotated.write(PLACE)
  expect(cursorsWith(newKey)(acme).read(since, [])).toEqual(PLACE)
  expect(cursorsWith(newKey)(acme).read(before, [])).toBe('foreign')
  expect(cursorsWith(otherKey)(acme).read(since, [])).toBe('foreign')
})

test('a cursor of another database is foreign', () => {
  const given = createFeedCursors(parseMasterKeys(String(newKey)), 'ffffffffffff')(acme).write(PLACE)
  expect(cursorsWith(newKey)(acme).read(given, [])).toBe('foreign')
})
