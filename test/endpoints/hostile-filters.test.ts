import { describe, expect, test } from 'vitest'
import { checkFilter, createEvaluation } from '../../src/endpoints/filter.ts'
import { MOST_STEPS } from '../../src/endpoints/filter-meter.ts'

const evaluationOf = (payload: unknown) =>
  createEvaluation({ type: 'a', version: null, channels: [], tenant: 'acme', payload: () => payload })
const verdictOf = (filter: string, payload: unknown) => evaluationOf(payload).verdict(filter)

const NESTED = '['.repeat(60) + ']'.repeat(60)
const LARGE = {
  list: Array.from({ length: 20_000 }, (_, index) => index),
  texts: Array.from({ length: 4000 }, (_, index) => `abcdefghij${index}`),
  same: Array.from({ length: 2500 }, () => 'a'.repeat(90)),
  objects: Array.from({ length: 4000 }, (_, index) => ({ a: index, b: { c: 'x' } })),
  map: Object.fromEntries(Array.from({ length: 15_000 }, (_, index) => [`k${index}`, index])),
  long: 'a'.repeat(200_000),
  half: `b${'a'.repeat(2500)}`,
  digits: '9'.repeat(100_000),
  nested: JSON.parse(NESTED),
  at: '2026-01-01T00:00:00Z',
}

describe('a hostile filter', () => {
  test.each([
    `${'('.repeat(3000)}`,
    `${'['.repeat(1000)}${']'.repeat(1000)}`,
    `payload${'.a'.repeat(1900)} == 1`,
    `payload.a == 1${' && payload.a == 1'.repeat(200)}`,
    `${'payload.a?'.repeat(400)}`,
    `payload.a == "${'x'.repeat(5000)}"`,
    `payload.a == ${'9'.repeat(4000)}`,
    `payload.l${'.map(x, x)'.repeat(100)} == []`,
    `${'"'.repeat(4000)}`,
    `type.matches("${'(x{100}y)?'.repeat(300)}")`,
    `type.matches("${'('.repeat(1900)}a")`,
    'type.matches("((a{0,30}){30}){30}")',
  ])('is refused within a second of a processor when it is saved: %#', (filter) => {
    const { user } = process.cpuUsage()
    const refused = expect.objectContaining({
      code: 'INVALID_FILTER',
      message: expect.stringMatching(/^Line.{1,600}$/s),
    })
    expect(() => checkFilter(filter, [])).toThrow(refused)
    expect(process.cpuUsage().user - user).toBeLessThan(1_000_000)
  })

  test.each([
    'payload.list.exists(x, payload.list.exists(y, x == y + 0.5))',
    'payload.same.all(x, x in payload.same.map(y, y))',
    'payload.long.contains(payload.half)',
    'payload.long.matches("(a+)+b")',
    'payload.texts.exists(x, x.matches("x.{150}y"))',
    'int(payload.digits) == 1',
    '[payload.long].map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).exists(x, x == "a")',
    '[payload.list].map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).exists(x, x == [1.0])',
    'payload.texts.exists(x, timestamp(payload.at) < timestamp("2025-01-01T00:00:00Z"))',
    'payload.list.map(x, x).map(x, x).map(x, x) == []',
    'payload.list.all(x, x in payload.list)',
    'payload.map.exists(k, payload.map.exists(l, k == l + "x"))',
  ])('is no match when it takes too long: %s', (filter) => {
    checkFilter(filter, [])
    const { holds, fault, steps } = verdictOf(filter, LARGE)
    expect({ holds, fault }).toEqual({ holds: false, fault: `It takes more than ${MOST_STEPS} steps for this event.` })
    expect(steps).toBe(MOST_STEPS)
  })

  test.each([
    ['payload.nested == payload.nested', true],
    ['payload.objects.exists(x, x.missing == 1)', false],
    ['payload.texts.exists(x, payload.map[1] == 1)', false],
    ['payload.objects.filter(x, x.a > 5).size() == 3994', true],
    ['payload.texts.exists(x, x == "no")', false],
  ])('that stays within its steps is evaluated to its end: %s', (filter, holds) => {
    checkFilter(filter, [])
    const { steps, ...verdict } = verdictOf(filter, LARGE)
    expect(verdict).toMatchObject({ holds })
    expect(steps).toBeLessThan(MOST_STEPS)
  })

  test('is not evaluated any more when ten others have taken all steps of an event', () => {
    const evaluation = evaluationOf(LARGE)
    const faults = Array.from({ length: 12 }, (_, n) => evaluation.verdict(`payload.long.matches("a+${n}$")`).fault)
    expect(new Set(faults.slice(0, 10)).size).toBe(1)
    expect(faults.slice(10)).toEqual(
      Array(2).fill('Other filters have taken 1000000 steps for this event, which is the most.'),
    )
    expect(evaluation.steps()).toBe(10 * MOST_STEPS)
  })

  test('takes the same steps each time', () => {
    const filter = 'payload.texts.exists(x, x.contains("y")) && payload.at in ["a", "b"]'
    expect(new Set(Array.from({ length: 20 }, () => verdictOf(filter, LARGE).steps)).size).toBe(1)
  })
})
