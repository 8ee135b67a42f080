import { expect, test } from 'vitest'
import { nearestName } from '../../src/event-types/suggest.ts'

const NAMES = ['invoice.paid', 'invoice.created', 'customer.deleted', 'a.b']

test.each([
  ['invoice.payed', 'invoice.paid'],
  ['Invoice.Paid', 'invoice.paid'],
  ['invoices.created', 'invoice.created'],
  ['invoice_paid', 'invoice.paid'],
  ['invoice.refunded', null],
  ['a.c', null],
  ['', null],
])('for %s it is %s', (given, expected) => {
  expect(nearestName(given, NAMES)).toBe(expected)
})

test('among ten thousand of the longest names it takes no second', () => {
  const names = Array.from({ length: 10_000 }, (_, index) => `${'a'.repeat(120)}${index}`)
  const started = performance.now()
  nearestName(`${'a'.repeat(119)}xxxxxx`, names)
  expect(performance.now() - started).toBeLessThan(1_000)
})
