import { expect, test } from 'vitest'
import { formatEvent } from '../../src/deliveries/formats.ts'

const event = {
  id: 'evt_01k5y7q0c2f4t8r1v9b3n6m5d7',
  type: 'invoice.paid',
  version: null as string | null,
  createdAt: new Date('2026-03-01T08:00:00.005Z'),
  tenant: 'acme',
}

const HEAD =
  '{"id":"evt_01k5y7q0c2f4t8r1v9b3n6m5d7","type":"invoice.paid","version":null,"created_at":"2026-03-01T08:00:00.005Z","data":'

test.each([
  ['an integer beyond 2^53', '{"n":9007199254740993}'],
  ['a number with a trailing zero', '{"price":1.10,"e":1E+2,"z":-0}'],
  ['escaped characters', '{"nul":"\\u0000","slash":"\\/","letter":"\\u0041"}'],
  ['emoji, raw and escaped', '{"a":"🏔","b":"\\ud83c\\udfd4"}'],
  ['duplicate keys', '{"a":1,"a":2}'],
  ['integer-like keys in odd order', '{"2":"b","1":"a","a":0,"01":1}'],
  ['white space', ' { "a" :\n\t1 } '],
  ['__proto__', '{"__proto__":{"a":1}}'],
  ['a bare string', '"text"'],
  ['null', 'null'],
])('the envelope carries %s byte for byte', (_, payload) => {
  const { headers, body } = formatEvent('ENVELOPE', { ...event, payload })

  expect(headers).toEqual([['content-type', 'application/json']])
  expect(body).toEqual(Buffer.from(`${HEAD}${payload}}`, 'utf8'))
  expect(Object.keys(JSON.parse(body.toString()))).toEqual(['id', 'type', 'version', 'created_at', 'data'])
})

test('the version stands in quotes when there is one, and is escaped', () => {
  const { body } = formatEvent('ENVELOPE', { ...event, version: '2026-01"\\', payload: '{}' })
  expect(JSON.parse(body.toString())).toMatchObject({ version: '2026-01"\\', data: {} })
})
