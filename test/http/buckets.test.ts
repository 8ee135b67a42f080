import { expect, test } from 'vitest'
import { createBuckets } from '../../src/http/buckets.ts'

function world(options: { perSecond: number; burst: number; most?: number }) {
  let ms = 1000
  const buckets = createBuckets({ ...options, now: () => ms })
  const pass = (more: number) => {
    ms += more
  }
  return { ...buckets, pass }
}

test('a burst goes at once, then one after the other at the rate', () => {
  const { take, pass } = world({ perSecond: 10, burst: 3 })
  expect([take('a'), take('a'), take('a')]).toEqual([2, 1, 0].map((left) => ({ waitMs: 0, left })))
  expect(take('a')).toEqual({ waitMs: 100, left: 0 })
  pass(60)
  expect(take('a')).toEqual({ waitMs: 40, left: 0 })
  pass(40)
  expect(take('a')).toEqual({ waitMs: 0, left: 0 })
  expect(take('b')).toEqual({ waitMs: 0, left: 2 })
  pass(10_000)
  expect(take('a')).toEqual({ waitMs: 0, left: 2 })
})

test('over any time no more is taken than the burst and the rate allow, whatever was refused', () => {
  const { take, pass } = world({ perSecond: 7, burst: 7 })
  let taken = 0
  for (let ms = 0; ms < 30_000; ms += 3) {
    if (take('a').waitMs === 0) taken++
    pass(3)
  }
  expect(taken).toBeGreaterThanOrEqual(7 * 30)
  expect(taken).toBeLessThanOrEqual(7 * 31)
})

test('asking takes nothing, and what was taken for nothing can be given back', () => {
  const { take, waitMs, giveBack } = world({ perSecond: 1, burst: 1 })
  expect([waitMs('a'), waitMs('a')]).toEqual([0, 0])
  take('a')
  expect(waitMs('a')).toBe(1000)
  giveBack('a')
  giveBack('a')
  expect(take('a')).toEqual({ waitMs: 0, left: 0 })
  expect(take('a').waitMs).toBe(1000)
})

test('no more names are remembered than may be: those of long ago go first', () => {
  const { take, waitMs } = world({ perSecond: 1, burst: 1, most: 3 })
  for (const name of ['a', 'b', 'c', 'd']) take(name)
  expect(['a', 'b', 'c', 'd'].map(waitMs)).toEqual([0, 1000, 1000, 1000])
})
