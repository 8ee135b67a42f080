import { expect, test } from 'vitest'
import type { SigningKey } from '../../src/endpoints/signing-keys.ts'
import { createKeyDiscovery } from '../../src/http/key-discovery.ts'

test('the keys of all who ask meanwhile are read with one statement, one at a time', async () => {
  const reads: { tenants: readonly string[]; answer: PromiseWithResolvers<ReadonlyMap<string, SigningKey[]>> }[] = []
  const { find } = createKeyDiscovery((tenants) => {
    const answer = Promise.withResolvers<ReadonlyMap<string, SigningKey[]>>()
    reads.push({ tenants, answer })
    return answer.promise
  })
  const keysOf = (tenant: string) => [{ id: tenant }] as unknown as SigningKey[]

  const first = find('one')
  const later = Promise.all(['one', 'two', 'one', 'none'].map(find))
  expect(reads.map(({ tenants }) => tenants)).toEqual([['one']])
  reads[0]?.answer.resolve(new Map([['one', keysOf('one')]]))
  expect(await first).toEqual(keysOf('one'))

  expect(reads.map(({ tenants }) => tenants)).toEqual([['one'], ['one', 'two', 'none']])
  reads[1]?.answer.reject(new Error('away'))
  await expect(later).rejects.toThrow('away')
  // A failure is nobody's but theirs.
  const again = find('two')
  reads[2]?.answer.resolve(new Map())
  expect(await again).toEqual([])
})
