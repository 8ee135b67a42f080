import { expect, test } from 'vitest'
import { checkUrl } from '../../src/egress/url-rules.ts'

test.each`
  given                              | stored
  ${'https://example.com/hooks?a=1'} | ${'https://example.com/hooks?a=1'}
  ${'HTTPS://EXAMPLE.com:443'}       | ${'https://example.com/'}
  ${'http://example.com/a b'}        | ${'http://example.com/a%20b'}
  ${'https://bücher.example/ü'}      | ${'https://xn--bcher-kva.example/%C3%BC'}
  ${'http://[::1]:8080/x'}           | ${'http://[::1]:8080/x'}
  ${'http://example.com/a/../b'}     | ${'http://example.com/b'}
  ${'http://example.com/mail@home'}  | ${'http://example.com/mail@home'}
`('$given is stored as $stored', ({ given, stored }) => {
  expect(checkUrl(given, ['input', 'url'])).toBe(stored)
})

test.each([
  '',
  'example.com',
  '/hooks',
  'ftp://example.com/',
  'javascript:alert(1)',
  'http://',
  'http:example.com',
  'http:/example.com',
  'http:///example.com',
  'https:\\\\example.com\\hooks',
  'http://exam\tple.com/',
  'http://example.com/a\nb',
  ' https://example.com/',
  'https://example.com/#top',
  'https://example.com/#',
  'https://user@example.com/',
  'https://@example.com/',
  'https://:@example.com/',
  'http://example.com:99999/',
  `https://example.com/${'a'.repeat(2048)}`,
  `https://example.com/${'ü'.repeat(400)}`,
])('%j is refused', (url) => {
  expect(() => checkUrl(url, ['input', 'url'])).toThrow(
    expect.objectContaining({ code: 'INVALID_URL', path: ['input', 'url'] }),
  )
})

test.each([
  'https://user:hunter2@example.com/',
  'ftp://user:hunter2@example.com/',
  'https://user:hunter2@example.com:99999/',
  'user:hunter2@example.com',
  'https://user:hunter2@exa mple.com/',
])('the password in %j is never repeated', (url) => {
  expect(() => checkUrl(url, ['url'])).toThrow(
    expect.not.objectContaining({ message: expect.stringContaining('hunter2') }),
  )
})
