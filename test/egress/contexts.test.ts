import { expect, test } from 'vitest'
import { createContexts } from '../../src/egress/contexts.ts'
import { client } from './certificates.ts'

const identity = (number: number, more = 0) => ({
  key: `identity ${number}`,
  certificatePem: client.cert + '\n'.repeat(more),
  privateKeyPem: client.key,
  caPem: null,
})

test('the contexts of identities are kept, up to a thousand, and the one used last longest', () => {
  const contextFor = createContexts({})
  const first = contextFor(identity(0))
  const second = contextFor(identity(1))
  for (let number = 2; number < 1000; number++) contextFor(identity(number))
  expect(contextFor(identity(0))).toBe(first)
  contextFor(identity(1000))
  expect(contextFor(identity(0))).toBe(first)
  expect(contextFor(identity(1))).not.toBe(second)
})

test('of those with large certificates fewer are kept, and those without go on', () => {
  const contextFor = createContexts({})
  const without = contextFor(null)
  const made = Array.from({ length: 40 }, (_, number) => {
    contextFor(null)
    return contextFor(identity(number, 500_000))
  })
  expect(contextFor(null)).toBe(without)
  for (let number = 30; number < 40; number++) expect(contextFor(identity(number, 500_000))).toBe(made[number])
  expect(contextFor(identity(0, 500_000))).not.toBe(made[0])
})
