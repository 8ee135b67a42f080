import { readFileSync } from 'node:fs'
import { Webhook } from 'standardwebhooks'
import { expect, test } from 'vitest'
import { signStandard } from '../../src/deliveries/sign.ts'
import { generateSecret, parseSecret } from '../../src/endpoints/signing-secret.ts'

type Vector = { secrets: string[]; id: string; timestamp: number; body: string; signature: string }

const vectors: { v1: Vector[] } = JSON.parse(
  readFileSync(new URL('../vectors/standard-webhooks.json', import.meta.url), 'utf8'),
)

const secretOf = (bytes: number, fill = 7) => `whsec_${Buffer.alloc(bytes, fill).toString('base64')}`

test.each(vectors.v1)('the published vector: $id at $timestamp', ({ secrets, id, timestamp, body, signature }) => {
  expect(signStandard({ id, timestamp, body }, secrets)).toBe(signature)
  expect(signStandard({ id, timestamp, body: Buffer.from(body) }, secrets)).toBe(signature)
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
  const signable = { id: 'evt_1', timestamp: 1, body: '{}' }
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
