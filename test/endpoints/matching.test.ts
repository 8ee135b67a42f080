import { describe, expect, test } from 'vitest'
import { matchesPattern, patternsOf, readPatterns, wants } from '../../src/endpoints/matching.ts'

describe('a pattern', () => {
  test.each`
    pattern             | eventType              | matches
    ${'invoice.paid'}   | ${'invoice.paid'}      | ${true}
    ${'invoice.paid'}   | ${'invoice.paid.late'} | ${false}
    ${'invoice.paid'}   | ${'invoice.paid_late'} | ${false}
    ${'invoice.paid'}   | ${'Invoice.Paid'}      | ${false}
    ${'invoice.*'}      | ${'invoice.paid'}      | ${true}
    ${'invoice.*'}      | ${'invoice.paid.late'} | ${true}
    ${'invoice.*'}      | ${'invoice'}           | ${false}
    ${'invoice.*'}      | ${'invoices.paid'}     | ${false}
    ${'invoice.paid.*'} | ${'invoice.paid'}      | ${false}
    ${'in_oice.*'}      | ${'invoice.paid'}      | ${false}
    ${'*'}              | ${'invoice'}           | ${true}
    ${'*'}              | ${'a.b.c.d'}           | ${true}
  `('$pattern and $eventType → $matches', ({ pattern, eventType, matches }) => {
    expect(matchesPattern(pattern, eventType)).toBe(matches)
  })
})

describe('an endpoint', () => {
  test.each`
    patterns                    | eventType              | wanted
    ${null}                     | ${'invoice.paid'}      | ${true}
    ${['*']}                    | ${'invoice.paid'}      | ${true}
    ${['a', 'invoice.*']}       | ${'invoice.paid'}      | ${true}
    ${['a', 'b']}               | ${'invoice.paid'}      | ${false}
    ${null}                     | ${'endpoint.disabled'} | ${false}
    ${['*']}                    | ${'endpoint.disabled'} | ${false}
    ${['*']}                    | ${'delivery.failed'}   | ${false}
    ${['endpoint.*']}           | ${'endpoint.disabled'} | ${true}
    ${['*', 'delivery.failed']} | ${'delivery.failed'}   | ${true}
    ${null}                     | ${'endpoint'}          | ${true}
    ${null}                     | ${'endpoints.listed'}  | ${true}
  `('with $patterns and $eventType → $wanted', ({ patterns, eventType, wanted }) => {
    expect(wants(patterns, eventType)).toBe(wanted)
  })
})

describe('a list of patterns', () => {
  test('is kept without its repetitions', () => {
    expect(readPatterns(['a', 'b.*', '*', 'a'], ['input', 'eventTypes'])).toEqual(['a', 'b.*', '*'])
  })

  test.each([
    '',
    '.',
    'a.',
    '.a',
    'a..b',
    'a b',
    '*.paid',
    'invoice.*.late',
    'invoice*',
    '**',
    'in-voice',
    'é',
    `${'a'.repeat(129)}`,
    '.*',
  ])('with %j is refused, and the entry named', (pattern) => {
    expect(() => readPatterns(['ok', pattern], ['input', 'eventTypes'])).toThrow(
      expect.objectContaining({ code: 'INVALID_INPUT', path: ['input', 'eventTypes', '1'] }),
    )
  })

  test.each([[[]], [Array.from({ length: 101 }, (_, index) => `t${index}`)]])(
    'of a wrong length is refused',
    (patterns) => {
      expect(() => readPatterns(patterns, ['filter', 'types'])).toThrow(
        expect.objectContaining({ code: 'INVALID_INPUT', path: ['filter', 'types'] }),
      )
    },
  )
})

test.each(['invoice', 'invoice.paid', 'invoice.paid.late'])(
  'the patterns that match %s are those that it can be asked for with',
  (type) => {
    const patterns = [
      '*',
      'invoice',
      'invoice.*',
      'invoice.paid',
      'invoice.paid.*',
      'invoice.paid.late',
      'inv.*',
      'invoices.*',
      'invoice.paid.late.*',
    ]
    expect(patterns.filter((pattern) => patternsOf(type).includes(pattern))).toEqual(
      patterns.filter((pattern) => matchesPattern(pattern, type)),
    )
  },
)
