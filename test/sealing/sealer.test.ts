import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { parseMasterKeys } from '../../src/sealing/master-keys.ts'
import { createSealer, SealError } from '../../src/sealing/sealer.ts'

const [newKey, oldKey] = parseMasterKeys(`${randomBytes(32).toString('base64')},${randomBytes(32).toString('hex')}`)
const keys = [newKey, oldKey].filter((key) => key !== undefined)
const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'

const codeOf = (action: () => unknown) => {
  try {
    return action()
  } catch (error) {
    if (error instanceof SealError) return [error.code, error.keyId]
    throw error
  }
}

test.each([secret, '', 'Zürich 🏔\u0000', 'x'.repeat(4096)])('what was sealed opens again: %j', (plain) => {
  const sealer = createSealer(keys)
  const sealed = sealer.seal(plain, 'secret:ten:ep')
  expect(sealer.open(sealed, 'secret:ten:ep')).toBe(plain)
  expect(sealer.open(new Uint8Array(sealed), 'secret:ten:ep')).toBe(plain)
})

test('a sealed value does not contain what was sealed, and never looks the same twice', () => {
  const sealer = createSealer(keys)
  const [one, other] = [sealer.seal(secret, 'c'), sealer.seal(secret, 'c')]
  expect(one.includes(secret)).toBe(false)
  expect(one.equals(other)).toBe(false)
  expect(one.subarray(9, 21).equals(other.subarray(9, 21))).toBe(false)
})

test('the newest key seals, all open', () => {
  const sealedWithOld = createSealer([keys[1]].filter((key) => key !== undefined)).seal(secret, 'c')
  const sealer = createSealer(keys)
  expect(sealer.open(sealedWithOld, 'c')).toBe(secret)
  expect(sealer.keyIdOf(sealedWithOld)).toBe(oldKey?.id)
  expect(sealer.keyIdOf(sealer.seal(secret, 'c'))).toBe(newKey?.id)
})

test('a missing key is named', () => {
  const sealed = createSealer(keys).seal(secret, 'c')
  const withoutIt = createSealer(keys.slice(1))
  expect(codeOf(() => withoutIt.open(sealed, 'c'))).toEqual(['MASTER_KEY_MISSING', newKey?.id])
})

test('another context does not open it', () => {
  const sealer = createSealer(keys)
  const sealed = sealer.seal(secret, 'secret:ten_1:ep_1')
  expect(codeOf(() => sealer.open(sealed, 'secret:ten_2:ep_1'))).toEqual(['SEALED_DAMAGED', newKey?.id])
})

test('a change of any byte is noticed', () => {
  const sealer = createSealer(keys)
  const sealed = sealer.seal(secret, 'c')
  for (let index = 0; index < sealed.length; index++) {
    const altered = Buffer.from(sealed)
    altered[index] = (altered[index] as number) ^ 1
    expect(() => sealer.open(altered, 'c'), `byte ${index}`).toThrow(SealError)
  }
  const ofTheFuture = Buffer.concat([Buffer.of(2), sealed.subarray(1)])
  expect(codeOf(() => sealer.open(ofTheFuture, 'c'))).toEqual(['SEALED_DAMAGED', null])
  for (const length of [0, 1, 8, 36, sealed.length - 1]) {
    expect(codeOf(() => sealer.open(sealed.subarray(0, length), 'c'))).toContain('SEALED_DAMAGED')
  }
})

test('what is remembered still needs the right context, and is bounded', () => {
  const sealer = createSealer(keys, { remember: 2 })
  const sealed = ['a', 'b', 'c'].map((plain) => sealer.seal(plain, 'here'))
  for (let round = 0; round < 2; round++) {
    expect(sealed.map((value) => sealer.open(value, 'here'))).toEqual(['a', 'b', 'c'])
    expect(codeOf(() => sealer.open(sealed[2] as Buffer, 'there'))).toContain('SEALED_DAMAGED')
    expect(codeOf(() => sealer.open((sealed[2] as Buffer).subarray(0, -1), 'here'))).toContain('SEALED_DAMAGED')
  }
})

test('without a key there is no sealer', () => {
  expect(() => createSealer([])).toThrow('at least one')
})
