import { expect, onTestFinished, test, vi } from 'vitest'
import { createEvaluation } from '../../src/endpoints/filter.ts'

test('a filter is read once; those that were not asked for the longest make room', () => {
  // Whoever reads a filter asks this of its text, and nobody else does.
  const asks = vi.spyOn(String.prototype, 'isWellFormed')
  onTestFinished(() => asks.mockRestore())
  const readings = (filter: string) => {
    asks.mockClear()
    const subject = { type: 'a', version: null, channels: [], tenant: 'acme', payload: () => 'x' }
    expect(createEvaluation(subject).verdict(filter)).toMatchObject({ holds: true, fault: null })
    return asks.mock.contexts.filter((text) => String(text) === filter).length
  }
  const long = (n: number) => `payload != "${n}" // ${'x'.repeat(4000)}`
  const [asked, forgotten] = ['payload == "x" && true', 'payload == "x" && !false']
  expect([readings(asked), readings(forgotten)]).toEqual([1, 1])
  expect([readings(asked), readings(forgotten)]).toEqual([0, 0])
  // A million characters.
  for (let n = 0; n < 250; n++) {
    expect(readings(long(n))).toBe(1)
    if (n % 50 === 0) expect(readings(asked)).toBe(0)
  }
  expect([readings(asked), readings(long(249))]).toEqual([0, 0])
  expect([readings(forgotten), readings(long(0))]).toEqual([1, 1])
})
