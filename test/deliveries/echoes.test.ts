import { expect, test } from 'vitest'
import { secretsIn, withoutEchoes } from '../../src/deliveries/echoes.ts'
import { type EgressResult, notSent } from '../../src/egress/request.ts'
import type { Authorization } from '../../src/endpoints/authorization.ts'

const answering = (body: string, headers: [string, string][] = [], truncated = false): EgressResult => ({
  ...notSent({ errorClass: 'INTERNAL', message: '' }),
  failure: null,
  status: 200,
  headers,
  body: Buffer.from(body),
  truncated,
})
const shown = (result: EgressResult) => [result.headers, result.body.toString()]

test('what a receiver repeats is stars, as many as there were characters', () => {
  const result = withoutEchoes(
    answering('{"authorization":"Bearer abcdefgh","again":"abcdefgh"}', [['x-echo', 'it was abcdefgh']]),
    ['abcdefgh'],
  )
  expect(shown(result)).toEqual([
    [['x-echo', 'it was ********']],
    '{"authorization":"Bearer ********","again":"********"}',
  ])
})

test('also as JSON writes it, with its slashes escaped or not', () => {
  const secret = 'a/"b\\c/dé'
  const asJson = JSON.stringify({ secret })
  for (const body of [secret, asJson, asJson.replaceAll('/', '\\/')]) {
    const { body: left } = withoutEchoes(answering(body), [secret])
    expect(left.toString()).toMatch(/^(\{"secret":")?\*+("\})?$/)
    expect(left).toHaveLength(Buffer.byteLength(body))
  }
})

test('also as other writers of JSON have it, and as in a URL', () => {
  const secret = "a<é>&b'c/d+e f"
  const spellings = [
    "a\\u003cé\\u003e\\u0026b'c/d+e f",
    "a<\\u00e9>&b'c/d+e f",
    "a<\\u00E9>&b'c\\/d+e f",
    'a\\u003C\\u00E9\\u003E\\u0026b\\u0027c/d\\u002Be f',
    encodeURIComponent(secret),
    encodeURIComponent(secret).replace(/%../g, (each) => each.toLowerCase()),
    String(new URLSearchParams({ secret })).slice('secret='.length),
  ]
  for (const body of spellings) {
    expect(shown(withoutEchoes(answering(`"${body}"`), [secret]))[1], body).toMatch(/^"\*+"$/)
  }
})

test('of secrets that have something in common, nothing is left', () => {
  const secrets = ['abcdefgh', 'abcdefghijklmnop', 'mnop-qrst', '********']
  const left = (body: string, truncated = false) => shown(withoutEchoes(answering(body, [], truncated), secrets))[1]
  expect(left('x=abcdefghijklmnop;')).toBe(`x=${'*'.repeat(16)};`)
  expect(left('x=abcdefghijklmnop-qrst;')).toBe(`x=${'*'.repeat(21)};`)
  expect(left('x=abcdefghijkl', true)).toBe(`x=${'*'.repeat(12)}`)
  expect(left('x=abcdefgh', true)).toBe('x=********')
})

test('a secret that is cut off where the body is, too', () => {
  expect(shown(withoutEchoes(answering('x=abcdefghij', [], true), ['abcdefghijklmnop']))[1]).toBe('x=**********')
  expect(shown(withoutEchoes(answering('x=abcdefghij'), ['abcdefghijklmnop']))[1]).toBe('x=abcdefghij')
})

test('one that holds another, or begins in it, is starred as a whole', () => {
  const secrets = ['abcdefgh', 'abcdefgh-and-more', 'and-more-of-it']
  expect(shown(withoutEchoes(answering('<abcdefgh-and-more>'), secrets))[1]).toBe('<*****************>')
  expect(shown(withoutEchoes(answering('<abcdefgh-and-more-of-it>'), secrets))[1]).toBe('<***********************>')
  // Cut off: the whole of the short one, and the beginning of the other.
  expect(shown(withoutEchoes(answering('<abcdefgh-and', [], true), secrets))[1]).toBe('<************')
})

test('also as it stands in a URL', () => {
  const secret = 'Token a/b+c=='
  const { headers } = withoutEchoes(answering('', [['location', `/in?key=${encodeURIComponent(secret)}`]]), [secret])
  expect(headers).toEqual([['location', `/in?key=${'*'.repeat(23)}`]])
})

test('what is short guards nothing; bytes that are no text stay as they are', () => {
  const untouched = answering('true 1234567')
  expect(withoutEchoes(untouched, ['true', '1234567']).body).toBe(untouched.body)
  const bytes = Buffer.from([0xff, 0x00, 0xc3])
  const binary = { ...answering(''), body: Buffer.concat([bytes, Buffer.from('abcdefgh'), bytes]) }
  expect(withoutEchoes(binary, ['abcdefgh']).body).toEqual(Buffer.concat([bytes, Buffer.from('********'), bytes]))
})

test('everything that is sent of some credentials is looked for', () => {
  const headers = [['x-key', 'value of a header']] as const
  const of = (authorization: Authorization) => secretsIn({ headers: [...headers], authorization })
  expect(of({ basic: { username: 'u', password: 'p' } })).toEqual(['value of a header', 'p', 'dTpw'])
  expect(of({ bearer: { token: 't' } })).toEqual(['value of a header', 't'])
  const client = { tokenUrl: '', clientId: 'i', scopes: [], audience: null, authentication: 'HEADER' } as const
  expect(of({ oauth2ClientCredentials: { ...client, scopes: [], clientSecret: 's' } })).toEqual([
    'value of a header',
    's',
  ])
})
