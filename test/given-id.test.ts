import { expect, test } from 'vitest'
import { notAnId } from '../src/given-id.ts'
import { bearerText } from '../src/tenants/bearer-text.ts'

test.each(['prk', 'prs'] as const)(
  'of the text that a caller shows (%s_) no more is repeated than its hint',
  (prefix) => {
    const text = bearerText(prefix, Buffer.alloc(32, 7))
    const message = notAnId('key', text)
    expect(message).toContain(`"${text.slice(0, 8)}…"`)
    expect(message).not.toContain(text.slice(0, 9))
    expect(message).toContain(prefix === 'prk' ? '`apiKeys` (compare `hint`)' : '`portalSessions`')
  },
)

test('whoever gives the key of a tenant is told how to find its id', () => {
  expect(notAnId('ten', 'acme')).toBe(
    '"acme" is not an id of the form ten_ and 26 characters. If that is the key of a tenant, ask for its id: { tenant(key: "acme") { id } }.',
  )
  expect(notAnId('ep', 'acme')).toBe('"acme" is not an id of the form ep_ and 26 characters.')
})
