import { expect, test } from 'vitest'
import { parseNetworks } from '../../src/egress/address-rules.ts'
import { type AuthorizationInput, readAuthorization, shownAuthorization } from '../../src/endpoints/authorization.ts'
import { Mistake } from '../../src/mistake.ts'

const rules = { allowHosts: new Set<string>(), allowNetworks: parseNetworks('127.0.0.0/8'), httpsOnly: false }
const read = (input: AuthorizationInput) => readAuthorization(input, ['credentials'], rules)

const client = { tokenUrl: 'https://login.example.com/token', clientId: 'me', clientSecret: 'hunter2' }

test('what is read, and what of it is shown', () => {
  const basic = { basic: { username: 'zoë', password: 'päss:word' } }
  expect(read(basic)).toEqual(basic)
  expect(shownAuthorization(basic)).toEqual({ kind: 'BASIC', username: 'zoë' })

  const bearer = { bearer: { token: 'eyJ.eyJ.abc-_~+/=' } }
  expect(read(bearer)).toEqual(bearer)
  expect(shownAuthorization(bearer)).toEqual({ kind: 'BEARER' })

  const whole = { ...client, scopes: ['hooks:write', 'b'], audience: 'https://api', authentication: 'BODY' as const }
  expect(read({ oauth2ClientCredentials: whole })).toEqual({ oauth2ClientCredentials: whole })
  const { clientSecret: _, ...shown } = whole
  expect(shownAuthorization({ oauth2ClientCredentials: whole })).toEqual({
    kind: 'OAUTH2_CLIENT_CREDENTIALS',
    ...shown,
  })
  expect(read({ oauth2ClientCredentials: client })).toEqual({
    oauth2ClientCredentials: { ...client, scopes: [], audience: null, authentication: 'HEADER' },
  })
})

const oauth = (more: object) => ({ oauth2ClientCredentials: { ...client, ...more } })

test.each([
  ['nothing', {}, []],
  ['a colon in the user name', { basic: { username: 'a:b', password: 'hunter2' } }, ['basic', 'username']],
  ['a line break in the user name', { basic: { username: 'a\nb', password: 'hunter2' } }, ['basic', 'username']],
  ['a user name without end', { basic: { username: 'a'.repeat(1025), password: 'hunter2' } }, ['basic', 'username']],
  ['a zero in the password', { basic: { username: 'a', password: 'hunter2\0' } }, ['basic', 'password']],
  ['half a character', { basic: { username: 'a', password: 'hunter2\ud800' } }, ['basic', 'password']],
  ['neither name nor password', { basic: { username: '', password: '' } }, ['basic']],
  ['an empty token', { bearer: { token: '' } }, ['bearer', 'token']],
  ['a token with its scheme', { bearer: { token: 'Bearer hunter2' } }, ['bearer', 'token']],
  ['a token with a line break', { bearer: { token: 'hunter2\r\n' } }, ['bearer', 'token']],
  ['a token without end', { bearer: { token: `hunter2${'x'.repeat(4091)}` } }, ['bearer', 'token']],
  ['stars for a password', { basic: { username: 'a', password: '********' } }, ['basic', 'password']],
  ['stars for a token', { bearer: { token: '********' } }, ['bearer', 'token']],
  ['stars for a secret', oauth({ clientSecret: '********' }), ['oauth2ClientCredentials', 'clientSecret']],
  ['an ftp token URL', oauth({ tokenUrl: 'ftp://a.example.com' }), ['oauth2ClientCredentials', 'tokenUrl']],
  ['a token URL inside', oauth({ tokenUrl: 'http://10.0.0.1/t' }), ['oauth2ClientCredentials', 'tokenUrl']],
  ['a password in it', oauth({ tokenUrl: 'https://u:hunter2@a.example.com' }), ['oauth2ClientCredentials', 'tokenUrl']],
  ['an empty client id', oauth({ clientId: '' }), ['oauth2ClientCredentials', 'clientId']],
  ['an empty secret', oauth({ clientSecret: '' }), ['oauth2ClientCredentials', 'clientSecret']],
  ['a secret that is not ASCII', oauth({ clientSecret: 'hunter2é' }), ['oauth2ClientCredentials', 'clientSecret']],
  ['a scope with a space', oauth({ scopes: ['a', 'b c'] }), ['oauth2ClientCredentials', 'scopes', '1']],
  ['51 scopes', oauth({ scopes: Array(51).fill('a') }), ['oauth2ClientCredentials', 'scopes']],
  ['an empty audience', oauth({ audience: '' }), ['oauth2ClientCredentials', 'audience']],
] as [string, AuthorizationInput, string[]][])('%s is refused, and no secret repeated', (_, input, at) => {
  expect(() => read(input)).toThrow(Mistake)
  try {
    read(input)
  } catch (error) {
    expect((error as Mistake).path).toEqual(['credentials', ...at])
    expect((error as Mistake).message).not.toMatch(/hunter2/)
  }
})

test('https only holds for token URLs as well', () => {
  const strict = { ...rules, httpsOnly: true }
  const input = oauth({ tokenUrl: 'http://login.example.com/token' })
  expect(() => readAuthorization(input, [], strict)).toThrow(/HTTPS_ONLY/)
})
