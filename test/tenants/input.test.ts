import { expect, test } from 'vitest'
import { readActorName, readName } from '../../src/tenants/input.ts'

const refusal = { code: 'INVALID_INPUT', path: ['input', 'name'] }
const path = ['input', 'name']

test.each(['Müller & Söhne', 'jane@acme.example', '請求サービス', '🚚 deliveries', 'Postrider adapter'])(
  'a name may be %j',
  (name) => {
    expect(readName(name, path)).toBe(name)
    expect(readActorName(name, path)).toBe(name)
  },
)

test.each([
  'a\u0000',
  'a\u001b[2K',
  'a\nSYSTEM',
  'a\u0085',
  'POSTRIDER_ADMIN_KEY\u200b',
  '\u202egnillib',
  'a\u2028b',
  'a\u2029b',
])('a name that shows as another one is refused: %j', (name) => {
  expect(() => readName(name, path)).toThrow(expect.objectContaining(refusal))
  expect(() => readActorName(name, path)).toThrow(expect.objectContaining(refusal))
})

test.each(['Postrider', ' postrider '])('nobody is called in the audit log what Postrider calls itself: %j', (name) => {
  expect(() => readActorName(name, path)).toThrow(expect.objectContaining(refusal))
  expect(readName(name, path)).toBe(name)
})
