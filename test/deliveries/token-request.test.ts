import { describe, expect, test } from 'vitest'
import { readTokenAnswer, tokenRequestOf } from '../../src/deliveries/token-request.ts'
import { type EgressResult, notSent } from '../../src/egress/request.ts'
import type { OAuth2Client } from '../../src/endpoints/authorization.ts'

const client: OAuth2Client = {
  tokenUrl: 'https://login.example.com/token',
  clientId: 'me & you',
  clientSecret: 'p+a:%',
  scopes: [],
  audience: null,
  authentication: 'HEADER',
}

test('id and secret go into the header, each form-encoded first', () => {
  const { headers, body } = tokenRequestOf(client)
  const authorization = Buffer.from('me+%26+you:p%2Ba%3A%25').toString('base64')
  expect(headers).toContainEqual(['authorization', `Basic ${authorization}`])
  expect(headers).toContainEqual(['content-type', 'application/x-www-form-urlencoded'])
  expect(body.toString()).toBe('grant_type=client_credentials')
})

test('or into the body; with scopes and an audience where they are asked for', () => {
  const { headers, body } = tokenRequestOf({
    ...client,
    authentication: 'BODY',
    scopes: ['a', 'b:c'],
    audience: 'https://api',
  })
  expect(headers.map(([name]) => name)).toEqual(['content-type', 'accept'])
  expect(Object.fromEntries(new URLSearchParams(body.toString()))).toEqual({
    grant_type: 'client_credentials',
    scope: 'a b:c',
    audience: 'https://api',
    client_id: client.clientId,
    client_secret: client.clientSecret,
  })
})

const answer = (status: number, body: unknown, more: Partial<EgressResult> = {}): EgressResult => ({
  ...notSent({ errorClass: 'INTERNAL', message: '' }),
  failure: null,
  status,
  body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
  ...more,
})

describe('how long a token is used', () => {
  test.each([
    ['an hour', 3600, 3_540_000],
    ['an hour, as text', '3600', 3_540_000],
    ['ten minutes', 600, 540_000],
    ['a minute', 60, 54_000],
    ['a second', 1, 900],
    ['a year', 31_536_000, 86_340_000],
    ['nothing', 0, 0],
    ['less than nothing', -5, 0],
    ['nobody knows how long', undefined, 300_000],
    ['nobody can tell how long', 'soon', 300_000],
  ])('that lives for %s', (_, expires_in, usableMs) => {
    expect(readTokenAnswer(answer(200, { access_token: 'abc', token_type: 'bearer', expires_in }))).toEqual({
      token: 'abc',
      usableMs,
    })
  })
})

test('the type of a token may be left out, and is Bearer in any case', () => {
  for (const token_type of [undefined, 'Bearer', 'bearer', 'BEARER']) {
    expect(readTokenAnswer(answer(201, { access_token: 'abc', token_type }))).toMatchObject({ token: 'abc' })
  }
})

describe('what is no token is OAUTH, and says why without a word of what came back', () => {
  const HOSTILE = 'hunter2-echoed'
  test.each([
    [
      'a refusal',
      answer(401, { error: 'invalid_client', error_description: HOSTILE }),
      /401.*check.*\(invalid_client\)/,
    ],
    ['a refusal of its own kind', answer(400, { error: HOSTILE }), /400.*check client id, client secret/],
    ['a refusal in HTML', answer(403, `<b>${HOSTILE}</b>`), /403/],
    ['a redirect', answer(302, '', { headers: [['location', HOSTILE]] }), /302.*redirects are never followed/],
    ['too many requests', answer(429, HOSTILE), /429.*less often/],
    ['a fault', answer(500, HOSTILE), /500.*went wrong in it/],
    ['garbage', answer(200, `access_token=${HOSTILE}`), /is not the JSON object/],
    ['a list', answer(200, [HOSTILE]), /is not the JSON object/],
    ['null', answer(200, 'null'), /is not the JSON object/],
    ['nothing', answer(204, ''), /204.*is not the JSON object/],
    ['no token', answer(200, { token: HOSTILE }), /has no `access_token`/],
    ['an empty token', answer(200, { access_token: '' }), /has no `access_token`/],
    ['a number', answer(200, { access_token: 5 }), /has no `access_token`/],
    ['a line break in it', answer(200, { access_token: `${HOSTILE}\r\nhost: x` }), /has no `access_token`/],
    ['another type', answer(200, { access_token: HOSTILE, token_type: 'mac' }), /another type/],
    ['a type that is none', answer(200, { access_token: HOSTILE, token_type: 7 }), /another type/],
    ['too much', answer(200, { access_token: HOSTILE }, { truncated: true }), /larger than 16 KiB/],
    ['no connection', notSent({ errorClass: 'CONNECT_REFUSED', message: 'Refused.' }), /No access token.*Refused\.$/],
  ])('%s', (_, result, message) => {
    const failure = readTokenAnswer(result)
    expect(failure).toEqual({ errorClass: 'OAUTH', message: expect.stringMatching(message) })
    expect(JSON.stringify(failure)).not.toContain(HOSTILE)
  })

  test.each(['BLOCKED_ADDRESS', 'PROXY', 'INTERNAL'] as const)('but %s stays what it is', (errorClass) => {
    expect(readTokenAnswer(notSent({ errorClass, message: 'Why.' }))).toEqual({
      errorClass,
      message: expect.stringContaining('Why.'),
    })
  })
})
