import { expect, test } from 'vitest'
import { newId, publicId } from '../../schema/ids.ts'
import type { SigningKey } from '../../src/endpoints/signing-keys.ts'
import { createKeyDiscovery } from '../../src/http/key-discovery.ts'

test('the keys of all who ask meanwhile are read with one statement, one at a time', async () => {
  const reads: { tenants: readonly string[]; answer: PromiseWithResolvers<ReadonlyMap<string, SigningKey[]>> }[] = []
  const { find } = createKeyDiscovery((tenants) => {
    const answer = Promise.withResolvers<ReadonlyMap<string, SigningKey[]>>()
    reads.push({ tenants, answer })
    return answer.promise
  })
  const key = { id: newId<'sik'>(new Date()), endpointId: newId<'ep'>(new Date()), publicKey: Buffer.alloc(32) }
  const keys = [key as SigningKey]

  const first = find('one')
  const later = Promise.all(['one', 'two', 'one', 'none'].map(find))
  expect(reads.map(({ tenants }) => tenants)).toEqual([['one']])
  reads[0]?.answer.resolve(new Map([['one', keys]]))
  expect(JSON.parse(String(await first))).toMatchObject({ keys: [{ kid: publicId('sik', key.id) }] })

  expect(reads.map(({ tenants }) => tenants)).toEqual([['one'], ['one', 'two', 'none']])
  reads[1]?.answer.reject(new Error('away'))
  await expect(later).rejects.toThrow('away')
  // A failure is nobody's but theirs.
  const again = find('two')
  reads[2]?.answer.resolve(new Map())
  expect(await again).toBeNull()

  // What is printed once is the same for all who asked.
  const last = find('two')
  const meanwhile = Promise.all(['one', 'one'].map(find))
  reads[3]?.answer.resolve(new Map())
  await last
  reads[4]?.answer.resolve(new Map([['one', keys]]))
  const [one, other] = await meanwhile
  expect(one).toBe(other)
})
