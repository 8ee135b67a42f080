import { expect, test } from 'vitest'
import { createFairness } from '../../src/deliveries/fairness.ts'

const firstFew = (most: number) => ({ most, priorities: { leastPriority: 2 }, everybodys: false })
const everybody = (most: number) => ({ most, priorities: {}, everybodys: true })

test('with slots for everybody, everybody has every claim', () => {
  const fair = createFairness()
  expect([fair.next(256, 192), fair.next(100, 36)]).toEqual([everybody(192), everybody(36)])
})

test('with few slots left, the first few of each endpoint have every second claim, and what is kept for them', () => {
  const fair = createFairness()
  expect([fair.next(76, 12), fair.next(76, 12), fair.next(76, 12)]).toEqual([firstFew(76), everybody(12), firstFew(76)])
  expect([fair.next(64, 0), fair.next(60, -4)]).toEqual([firstFew(64), firstFew(60)])
})

test('after eight full claims the lower priorities have one to themselves, each in its turn', () => {
  const fair = createFairness()
  const lower = () => {
    for (let n = 0; n < 8; n++) {
      fair.next(256, 192)
      fair.saw(true)
    }
    return fair.next(256, 192).priorities
  }
  expect([lower(), lower(), lower(), lower()]).toEqual([2, 1, 0, 2].map((mostPriority) => ({ mostPriority })))
})
