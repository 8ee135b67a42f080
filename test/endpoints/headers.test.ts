import { expect, test } from 'vitest'
import { type HeaderInput, MASK, readHeaders, withKeptValues } from '../../src/endpoints/headers.ts'
import { Mistake } from '../../src/mistake.ts'

const read = (input: HeaderInput[], kept: [string, string][] | null = []) =>
  withKeptValues(readHeaders(input, ['headers']), ['headers'], kept)

function mistakeOf(work: () => unknown): Mistake {
  try {
    work()
  } catch (error) {
    if (error instanceof Mistake) return error
    throw error
  }
  throw new Error('there was no mistake')
}

test('names keep their case, values what stands in them', () => {
  const headers = [
    { name: 'X-Api-Key', value: 'a "b"; c=d' },
    { name: 'cookie', value: 'session=1' },
    { name: 'x!#$%&*+-.^_`|~9', value: '~' },
    { name: 'authorization', value: 'Token abc' },
    { name: 'x', value: 'v'.repeat(4095) },
  ]
  expect(read(headers)).toEqual(headers.map(({ name, value }) => [name, value]))
  expect(read(Array.from({ length: 32 }, (_, i) => ({ name: `x-${i}`, value: 'v' })))).toHaveLength(32)
  expect(read([])).toEqual([])
})

test.each([
  'Host',
  'content-length',
  'CONTENT-TYPE',
  'content-encoding',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'expect',
  'upgrade',
  'te',
  'Trailer',
  'accept-encoding',
  'User-Agent',
  'date',
  'proxy-authorization',
  'Proxy-Anything',
  'webhook-id',
  'Webhook-Extra',
])('%s is reserved', (name) => {
  const { code, path, message } = mistakeOf(() => read([{ name, value: 'a-secret-value' }]))
  expect({ code, path }).toEqual({ code: 'INVALID_INPUT', path: ['headers', '0', 'name'] })
  expect(message).toContain('reserved')
  expect(message).not.toContain('a-secret-value')
})

test.each([
  ['no name', { name: '', value: 'secret' }, 'name'],
  ['a space in the name', { name: 'x y', value: 'secret' }, 'name'],
  ['a colon in the name', { name: 'x:', value: 'secret' }, 'name'],
  ['a line break in the name', { name: 'x\r\ny', value: 'secret' }, 'name'],
  ['a letter that is none in HTTP', { name: 'xé', value: 'secret' }, 'name'],
  ['a name without end', { name: 'x'.repeat(257), value: 'secret' }, 'name'],
  ['a line break in the value', { name: 'x', value: 'secret\r\nhost: evil' }, 'value'],
  ['a tab in the value', { name: 'x', value: 'sec\tret' }, 'value'],
  ['a zero in the value', { name: 'x', value: 'secret\0' }, 'value'],
  ['a value that is not ASCII', { name: 'x', value: 'secrét' }, 'value'],
  ['a value that begins with a space', { name: 'x', value: ' secret' }, 'value'],
  ['a value that ends with a space', { name: 'x', value: 'secret ' }, 'value'],
  ['an empty value', { name: 'x', value: '' }, 'value'],
  ['more than 4 KiB', { name: 'x', value: `secret${'v'.repeat(4090)}` }, 'value'],
  ['nothing to keep', { name: 'x' }, 'value'],
  ['nothing to keep, for null', { name: 'x', value: null }, 'value'],
])('%s is refused', (_, header, at) => {
  const { code, path, message } = mistakeOf(() => read([{ name: 'fine', value: 'fine' }, header]))
  expect({ code, path }).toEqual({ code: 'INVALID_INPUT', path: ['headers', '1', at] })
  expect(message).not.toMatch(/secr/)
})

test('more than 32, or one twice in whatever case, are refused', () => {
  const many = Array.from({ length: 33 }, (_, i) => ({ name: `x-${i}`, value: 'v' }))
  expect(mistakeOf(() => read(many)).path).toEqual(['headers'])
  const twice = [
    { name: 'X-Key', value: 'a' },
    { name: 'x-key', value: 'b' },
  ]
  expect(mistakeOf(() => read(twice)).path).toEqual(['headers', '1', 'name'])
})

test('without a value, or with the mask for one, a header keeps the value it has', () => {
  const kept: [string, string][] = [
    ['X-Key', 'one'],
    ['x-other', 'two'],
  ]
  expect(read([{ name: 'x-key' }, { name: 'x-new', value: 'three' }], kept)).toEqual([
    ['x-key', 'one'],
    ['x-new', 'three'],
  ])
  expect(read([{ name: 'X-Other', value: MASK }], kept)).toEqual([['X-Other', 'two']])
  // Where the URL changes.
  const { path, message } = mistakeOf(() => read([{ name: 'x-key' }], null))
  expect(path).toEqual(['headers', '0', 'value'])
  expect(message).toContain('The URL changes')
})
