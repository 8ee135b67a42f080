import { createPublicKey, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Webhook } from 'standardwebhooks'
import { expect, test } from 'vitest'
import {
  signatureHeaders,
  signBodyHex,
  signEd25519,
  signStandard,
  signTimestampedHex,
} from '../../src/deliveries/sign.ts'
import { keyPairOf, parsePrivateKey, publicKeyText } from '../../src/endpoints/key-pair.ts'
import { generateSecret, parseSecret } from '../../src/endpoints/signing-secret.ts'

type Vector = { secrets: string[]; id: string; timestamp: number; body: string; signature: string }

const read = (name: string) => JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8'))
const vectors: { v1: Vector[]; v1a: (Vector & { privateKey: string })[] } = read('standard-webhooks')
const hex: Record<'BODY_HEX' | 'TIMESTAMPED_HEX', Vector[]> = read('hex-schemes')

const secretOf = (bytes: number, fill = 7) => `whsec_${Buffer.alloc(bytes, fill).toString('base64')}`

test.each(vectors.v1)('the published vector: $id at $timestamp', ({ secrets, id, timestamp, body, signature }) => {
  expect(signStandard({ id, timestamp, body }, secrets)).toBe(signature)
  expect(signStandard({ id, timestamp, body: Buffer.from(body) }, secrets)).toBe(signature)
})

test.each(vectors.v1a)('the published vector of v1a', ({ privateKey, id, timestamp, body, signature }) => {
  expect(signEd25519({ id, timestamp, body }, [privateKey])).toBe(signature)
  expect(signEd25519({ id, timestamp, body: Buffer.from(body) }, [privateKey, privateKey])).toBe(
    `${signature} ${signature}`,
  )
  // The public half in the vector is the one that follows from the seed.
  const bytes = Buffer.from(privateKey.slice('whsk_'.length), 'base64')
  expect(keyPairOf(bytes.subarray(0, 32))).toEqual({ privateKey, publicKey: bytes.subarray(32) })
})

test.each(hex.BODY_HEX)('the published vector of BODY_HEX', ({ secrets, body, signature }) => {
  expect(signBodyHex({ body }, secrets)).toBe(signature)
})

test.each(hex.TIMESTAMPED_HEX)('the published vector of TIMESTAMPED_HEX', ({ secrets, timestamp, body, signature }) => {
  expect(signTimestampedHex({ timestamp, body }, secrets)).toBe(signature)
})

const signable = { id: 'evt_1', timestamp: 1, body: '{}' }

test('during a rotation t=,v1= has a signature of each secret, and sha256= that of the oldest', () => {
  const [newest, older] = [secretOf(32, 1), secretOf(32, 2)]
  const alone = (secret: string) => signTimestampedHex(signable, [secret]).replace('t=1,', '')
  expect(signTimestampedHex(signable, [newest, older])).toBe(`t=1,${alone(newest)},${alone(older)}`)
  expect(signBodyHex(signable, [newest, older])).toBe(signBodyHex(signable, [older]))
})

test.each`
  standard | keys | also | headers
  ${true}  | ${0} | ${0} | ${['webhook-id', 'webhook-timestamp', 'webhook-signature']}
  ${true}  | ${1} | ${1} | ${['webhook-id', 'webhook-timestamp', 'webhook-signature', 'x-one']}
  ${false} | ${1} | ${0} | ${['webhook-id', 'webhook-timestamp', 'webhook-signature']}
  ${false} | ${0} | ${1} | ${['webhook-id', 'x-one']}
`('standard $standard, $keys key pairs, $also other signatures: $headers', ({ standard, keys, also, headers }) => {
  const signed = signatureHeaders(signable, {
    standard,
    privateKeys: keys ? [keyPairOf(Buffer.alloc(32, 3)).privateKey] : [],
    also: also ? [{ scheme: 'BODY_HEX', header: 'x-one' }] : [],
    secrets: [secretOf(32)],
  })
  expect([...signed.standard, ...signed.also].map(([name]) => name)).toEqual(headers)
  const value = signed.standard.find(([name]) => name === 'webhook-signature')?.[1] ?? ''
  expect(value.split(' ').map((each) => each.split(',')[0])).toEqual(
    [standard ? 'v1' : [], keys ? 'v1a' : []].flat().concat(standard || keys ? [] : ['']),
  )
})

test('a key pair of random bytes signs what its public half verifies', () => {
  const { privateKey, publicKey } = keyPairOf(Buffer.alloc(32, 0xa7))
  expect(publicKeyText(publicKey)).toMatch(/^whpk_[A-Za-z0-9+/]{43}=$/)
  const key = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: publicKey.toString('base64url') },
    format: 'jwk',
  })
  const signature = Buffer.from(signEd25519(signable, [privateKey]).slice('v1a,'.length), 'base64')
  expect(verify(null, Buffer.from('evt_1.1.{}'), key, signature)).toBe(true)
  expect(verify(null, Buffer.from('evt_1.2.{}'), key, signature)).toBe(false)
  expect(() => keyPairOf(Buffer.alloc(16))).toThrow('32 bytes')
  for (const text of ['', 'whsk_', privateKey.slice(0, -8), privateKey.replace('whsk', 'whpk')]) {
    expect(parsePrivateKey(text), text).toBeNull()
  }
})

test('an independent verifier accepts each secret of a rotation, and no other', () => {
  const body = '{"name":"Zürich 🏔","big":9007199254740993,"nul":"\\u0000"}'
  const timestamp = Math.floor(Date.now() / 1000)
  const [newest, older, foreign] = [secretOf(32, 1), secretOf(24, 2), secretOf(64, 3)]

  const signature = signStandard({ id: 'evt_1', timestamp, body: Buffer.from(body) }, [newest, older])

  const headers = { 'webhook-id': 'evt_1', 'webhook-timestamp': String(timestamp), 'webhook-signature': signature }
  for (const secret of [newest, older]) expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body))
  expect(() => new Webhook(foreign).verify(body, headers)).toThrow('No matching signature')
  expect(() => new Webhook(newest).verify(`${body} `, headers)).toThrow('No matching signature')
  expect(() => new Webhook(newest).verify(body, { ...headers, 'webhook-id': 'evt_2' })).toThrow('No matching signature')
})

test('several signatures are separated by a space, in the order of the secrets', () => {
  const [one, two] = [secretOf(32, 1), secretOf(32, 2)]
  expect(signStandard(signable, [two, one])).toBe(`${signStandard(signable, [two])} ${signStandard(signable, [one])}`)
  expect(signStandard(signable, [one])).toMatch(/^v1,[A-Za-z0-9+/]{43}=$/)
})

test('a generated secret is whsec_ and 32 bytes, and is valid', () => {
  const random = Buffer.alloc(32, 0xfb)
  const secret = generateSecret(random)
  expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
  expect(parseSecret(secret)).toEqual(random)
  expect(() => generateSecret(Buffer.alloc(16))).toThrow('32 bytes')
})

test.each`
  secret                                     | valid
  ${secretOf(24)}                            | ${true}
  ${secretOf(64)}                            | ${true}
  ${secretOf(23)}                            | ${false}
  ${secretOf(65)}                            | ${false}
  ${'whsec_'}                                | ${false}
  ${''}                                      | ${false}
  ${secretOf(32).slice(6)}                   | ${false}
  ${`WHSEC_${secretOf(32).slice(6)}`}        | ${false}
  ${secretOf(32).replace(/=$/, '')}          | ${false}
  ${`${secretOf(32)} `}                      | ${false}
  ${secretOf(30, 0xfb).replaceAll('+', '-')} | ${false}
  ${`whsec_${'*'.repeat(44)}`}               | ${false}
`('the secret "$secret" is valid: $valid', ({ secret, valid }) => {
  expect(parseSecret(secret) !== null).toBe(valid)
})

test('a broken secret is not quoted in the error', () => {
  const sign = () => signStandard({ id: 'evt_1', timestamp: 1, body: '' }, ['whsec_c2VjcmV0'])
  expect(sign).toThrow('24 to 64 bytes')
  expect(sign).not.toThrow('c2VjcmV0')
})
