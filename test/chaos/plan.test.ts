import { describe, expect, test } from 'vitest'
import { createRandom, EVERYTHING, FAULTS, plan, STOP_MS } from './plan.ts'

describe('a plan', () => {
  test('is the same for the same seed, and another for another', () => {
    expect(plan({ seed: 7, seconds: 60 })).toEqual(plan({ seed: 7, seconds: 60 }))
    expect(plan({ seed: 7, seconds: 60 })).not.toEqual(plan({ seed: 8, seconds: 60 }))
  })

  test.each([1, 2, 3, 4, 5])('has every kind of fault within 20 s, with seed %i', (seed) => {
    expect(new Set(plan({ seed, seconds: 20 }).map(({ kind }) => kind))).toEqual(new Set(FAULTS))
  })

  test('is in order, within its time, and at processes that there are', () => {
    const steps = plan({ seed: 3, seconds: 60, processes: 2 })
    expect(steps.map(({ atMs }) => atMs)).toEqual(steps.map(({ atMs }) => atMs).toSorted((a, b) => a - b))
    expect(Math.max(...steps.map(({ atMs }) => atMs))).toBeLessThan(60_000)
    expect(new Set(steps.map(({ which }) => which))).toEqual(new Set([0, 1]))
  })

  test('stops workers for longer than their claims last', () => {
    const stops = plan({ seed: 3, seconds: 60 }).filter(({ kind }) => kind === 'stop')
    expect(stops.map(({ forMs }) => forMs)).toEqual(stops.map(() => STOP_MS))
    expect(STOP_MS).toBeGreaterThan(5000)
  })

  test('deals a whole hand every 15 s', () => {
    const size = Object.values(EVERYTHING).reduce((sum, count) => sum + count)
    expect(plan({ seed: 3, seconds: 61.5 })).toHaveLength(4 * size)
  })

  test('has only the faults of its hand', () => {
    const kinds = plan({ seed: 3, seconds: 20, hand: { worker: 3 } }).map(({ kind }) => kind)
    expect(new Set(kinds)).toEqual(new Set(['worker']))
    expect(plan({ seed: 3, seconds: 20, hand: {} })).toEqual([])
  })
})

test('the generator is even enough to choose by', () => {
  const random = createRandom(1)
  const counts = Array.from({ length: 4 }, () => 0)
  for (let n = 0; n < 4000; n++) {
    const place = Math.floor(random() * 4)
    counts[place] = (counts[place] ?? 0) + 1
  }
  for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(120)
})
