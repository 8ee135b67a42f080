import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseNetworks } from '../../src/egress/address-rules.ts'
import { otherService } from '../../src/egress/ports.ts'
import { checkUrl, parseHosts, type UrlRules } from '../../src/egress/url-rules.ts'
import { SPELLINGS } from './guard-tables.ts'

const rulesOf = (rules: { hosts?: string; networks?: string; httpsOnly?: boolean } = {}): UrlRules => ({
  allowHosts: parseHosts(rules.hosts ?? ''),
  allowNetworks: parseNetworks(rules.networks ?? ''),
  httpsOnly: rules.httpsOnly ?? false,
})

function wrongWith(url: string, rules = rulesOf()): string | null {
  try {
    checkUrl(url, ['input', 'url'], rules)
    return null
  } catch (error) {
    expect(error).toMatchObject({ code: 'INVALID_URL', path: ['input', 'url'] })
    return (error as Error).message
  }
}

const LABEL = 'a'.repeat(63)

test.each`
  given                                                      | stored
  ${'https://example.com/hooks?a=1'}                         | ${'https://example.com/hooks?a=1'}
  ${'HTTPS://EXAMPLE.com:443'}                               | ${'https://example.com/'}
  ${'http://example.com:80/'}                                | ${'http://example.com/'}
  ${'http://example.com/a b'}                                | ${'http://example.com/a%20b'}
  ${'https://bücher.example/ü'}                              | ${'https://xn--bcher-kva.example/%C3%BC'}
  ${'https://ＥＸＡＭＰＬＥ.com/'}                           | ${'https://example.com/'}
  ${'https://ex%61mple.com/'}                                | ${'https://example.com/'}
  ${'https://a_b.example.com/'}                              | ${'https://a_b.example.com/'}
  ${'http://example.com/a/../b'}                             | ${'http://example.com/b'}
  ${'http://example.com/mail@home'}                          | ${'http://example.com/mail@home'}
  ${'http://93.184.215.14/'}                                 | ${'http://93.184.215.14/'}
  ${'http://1572394766/'}                                    | ${'http://93.184.215.14/'}
  ${'http://[2606:4700::1]:8080/x'}                          | ${'http://[2606:4700::1]:8080/x'}
  ${'http://[::ffff:8.8.8.8]/'}                              | ${'http://[::ffff:808:808]/'}
  ${'http://example.com:1024/'}                              | ${'http://example.com:1024/'}
  ${'http://example.com:65535/'}                             | ${'http://example.com:65535/'}
  ${`https://${LABEL}.com/`}                                 | ${`https://${LABEL}.com/`}
  ${`https://${LABEL}.${LABEL}.${LABEL}.${'b'.repeat(61)}/`} | ${`https://${LABEL}.${LABEL}.${LABEL}.${'b'.repeat(61)}/`}
  ${`https://example.com/${'a'.repeat(2028)}`}               | ${`https://example.com/${'a'.repeat(2028)}`}
`('$given is stored as $stored', ({ given, stored }) => {
  expect(checkUrl(given, ['input', 'url'], rulesOf())).toBe(stored)
})

test.each`
  url                                                | because
  ${''}                                              | ${'not a complete URL'}
  ${'example.com'}                                   | ${'not a complete URL'}
  ${'/hooks'}                                        | ${'not a complete URL'}
  ${'http://'}                                       | ${'not a complete URL'}
  ${'http://exa mple.com/'}                          | ${'not a complete URL'}
  ${'http://example.com:99999/'}                     | ${'not a complete URL'}
  ${'http://1.2.3.4.5/'}                             | ${'not a complete URL'}
  ${'http://256.1.1.1/'}                             | ${'not a complete URL'}
  ${'http://[fe80::1%25eth0]/'}                      | ${'not a complete URL'}
  ${'ftp://example.com/'}                            | ${'only http: and https:'}
  ${'javascript:alert(1)'}                           | ${'only http: and https:'}
  ${'file:///etc/passwd'}                            | ${'only http: and https:'}
  ${'http:example.com'}                              | ${'must begin with'}
  ${'http:/example.com'}                             | ${'must begin with'}
  ${'http:///example.com'}                           | ${'must begin with'}
  ${'https:\\\\example.com\\hooks'}                  | ${'backslash'}
  ${'https://example.com\\@10.0.0.1/'}               | ${'backslash'}
  ${'http://exam\tple.com/'}                         | ${'control character'}
  ${'http://example.com/a\nb'}                       | ${'control character'}
  ${'http://example.com/\u0085'}                     | ${'control character'}
  ${'http://exam\u00adple.com/'}                     | ${'invisible character'}
  ${'http://exam\u200bple.com/'}                     | ${'invisible character'}
  ${'http://example.com/\ud800'}                     | ${'half a character'}
  ${' https://example.com/'}                         | ${'a space'}
  ${'https://example.com/\u00a0'}                    | ${'a space'}
  ${'https://example.com/#top'}                      | ${'fragment'}
  ${'https://example.com/#'}                         | ${'fragment'}
  ${'https://user@example.com/'}                     | ${'user name or password'}
  ${'https://@example.com/'}                         | ${'user name or password'}
  ${'https://:@example.com/'}                        | ${'user name or password'}
  ${`https://example.com/${'a'.repeat(2029)}`}       | ${'has 2049 characters'}
  ${`https://example.com/${'ü'.repeat(400)}`}        | ${'Written out in full'}
  ${`https://example.com/${'a/../'.repeat(500)}`}    | ${'The URL has 2520 characters'}
  ${'http://receiver/'}                              | ${'POSTRIDER_ALLOW_HOSTS=receiver'}
  ${'http://localhost:3000/hook'}                    | ${'POSTRIDER_ALLOW_HOSTS=localhost'}
  ${'http://example.com./'}                          | ${'ends with a dot'}
  ${'http://example..com/'}                          | ${'two dots'}
  ${'http://.example.com/'}                          | ${'begins with one'}
  ${`http://a${LABEL}.com/`}                         | ${'64 characters'}
  ${`http://${`${'a'.repeat(49)}.`.repeat(5)}abcd/`} | ${'254 characters'}
  ${'http://a!b.com/'}                               | ${'other characters'}
  ${'http://*.example.com/'}                         | ${'other characters'}
  ${'http://example.com:0/'}                         | ${'Port 0'}
  ${'http://example.com:22/'}                        | ${'SSH'}
  ${'http://example.com:25/'}                        | ${'mail'}
  ${'https://example.com:5432/'}                     | ${'databases'}
  ${'https://93.184.215.14:6379/'}                   | ${'databases'}
  ${'http://169.254.169.254/latest/meta-data/'}      | ${'points to a metadata service.'}
  ${'http://[64:ff9b::7f00:1]/'}                     | ${'through a gateway into IPv4'}
`('$url is refused: $because', ({ url, because }) => {
  expect(wrongWith(url)).toContain(because)
})

test('a literal inside a network that may be meant says how to allow it', () => {
  expect(wrongWith('http://10.0.0.5/hook')).toBe(
    '"http://10.0.0.5/hook" points into a private network. The operator of this server can allow it by adding 10.0.0.0/8 to POSTRIDER_ALLOW_NETWORKS.',
  )
  expect(wrongWith('http://0xa.5/hook')).toBe(
    '"http://0xa.5/hook" points into a private network (it is read as "http://10.0.0.5/hook"). The operator of this server can allow it by adding 10.0.0.0/8 to POSTRIDER_ALLOW_NETWORKS.',
  )
})

test.each(SPELLINGS.flatMap(([address, spellings]) => spellings.map((spelling) => [spelling, address])))(
  'http://%s/ is refused when it is written, as %s',
  (spelling) => expect(wrongWith(`http://${spelling}/`)).not.toBeNull(),
)

describe('what the operator allows', () => {
  test.each`
    url                             | rules                                          | wrong
    ${'http://10.0.0.5/hook'}       | ${{ networks: '10.0.0.0/8' }}                  | ${null}
    ${'http://127.0.0.1:9000/hook'} | ${{ networks: '127.0.0.0/8' }}                 | ${null}
    ${'http://[::1]:9000/'}         | ${{ networks: '::1' }}                         | ${null}
    ${'http://169.254.169.254/'}    | ${{ networks: '169.254.0.0/16' }}              | ${'metadata'}
    ${'http://localhost:3000/'}     | ${{ hosts: 'receiver localhost' }}             | ${null}
    ${'http://LOCALHOST:3000/'}     | ${{ hosts: 'LocalHost' }}                      | ${null}
    ${'http://bücher/'}             | ${{ hosts: 'bücher' }}                         | ${null}
    ${'http://foo.localhost/'}      | ${{}}                                          | ${'no public host name'}
    ${'http://db.internal/'}        | ${{}}                                          | ${'no public host name'}
    ${'http://other/'}              | ${{ hosts: 'receiver localhost' }}             | ${'no public host name'}
    ${'http://localhost:5432/'}     | ${{ hosts: 'localhost' }}                      | ${'databases'}
    ${'http://example.com/'}        | ${{ httpsOnly: true }}                         | ${'https only'}
    ${'http://10.0.0.5/'}           | ${{ httpsOnly: true, networks: '10.0.0.0/8' }} | ${'https only'}
    ${'https://example.com/'}       | ${{ httpsOnly: true }}                         | ${null}
  `('$url with $rules: $wrong', ({ url, rules, wrong }) => {
    const message = wrongWith(url, rulesOf(rules))
    if (wrong === null) expect(message).toBeNull()
    else expect(message).toContain(wrong)
  })

  test('a malformed list of hosts names every malformed entry', () => {
    expect(() => parseHosts('localhost 127.0.0.1 db:5432, a/b *.x u@h a..b [::1] http://x x.')).toThrow(
      '"127.0.0.1", "db:5432", "a/b", "*.x", "u@h", "a..b", "[::1]", "http://x", "x."',
    )
  })
})

test('no port that browsers refuse is accepted', () => {
  const source = readFileSync(new URL('../../node_modules/undici/lib/web/fetch/constants.js', import.meta.url), 'utf8')
  const list = /const badPorts = [^[]*\[([^\]]*)\]/.exec(source)?.[1] ?? ''
  const ports = [...list.matchAll(/'(\d+)'/g)].map(([, port]) => Number(port))

  expect(ports.length).toBeGreaterThan(80)
  expect(ports.filter((port) => otherService(port) === null)).toEqual([])
  expect([1433, 1521, 3306, 3389, 5432, 5672, 6379, 9042, 9092, 11211, 27017, 33060].map(otherService)).not.toContain(
    null,
  )
  expect([80, 443, 3000, 8000, 8080, 8443, 9000].map(otherService)).toEqual(Array(7).fill(null))
})

test.each([
  'https://user:hunter2@example.com/',
  'ftp://user:hunter2@example.com/',
  'https://user:hunter2@example.com:99999/',
  'user:hunter2@example.com',
  'https://user:hunter2@exa mple.com/',
  'https://user:hunter2@10.0.0.5/',
  'https://user:hunter2@localhost:22/',
])('the password in %j is never repeated', (url) => {
  expect(wrongWith(url)).not.toContain('hunter2')
})

const pieces = fc.constantFrom(
  'http://',
  'HTTPS://',
  'a',
  'Bücher',
  '.',
  'com',
  '127.0.0.1',
  ':8080',
  '/',
  '//',
  '?',
  '%41',
  '..',
  ' ',
  '[::1]',
  '\u3002',
  '①',
  '~',
  '{',
  '|',
)
const anyUrl = fc.oneof(
  fc.webUrl({ withQueryParameters: true, withFragments: false }),
  fc.webUrl().map((url) => url.toUpperCase()),
  fc.array(pieces, { maxLength: 12 }).map((parts) => `http://${parts.join('')}`),
  fc.tuple(fc.ipV4Extended(), fc.webPath()).map(([host, path]) => `http://${host}${path}`),
  fc.ipV6().map((host) => `https://[${host}]/`),
  fc.string({ unit: 'binary' }).map((path) => `https://example.com/${path}`),
)

test('whatever is accepted is stored in a form that is accepted, and is parsed to itself', () => {
  let accepted = 0
  fc.assert(
    fc.property(anyUrl, (text) => {
      const rules = rulesOf({ hosts: 'a com', networks: '0.0.0.0/0 ::/0' })
      if (wrongWith(text, rules) !== null) return
      accepted++
      const stored = checkUrl(text, [], rules)
      expect(new URL(stored).href).toBe(stored)
      expect(checkUrl(stored, [], rules)).toBe(stored)
      expect(new URL(stored).host).toBe(new URL(text).host)
    }),
    { numRuns: 3000 },
  )
  expect(accepted).toBeGreaterThan(500)
})
