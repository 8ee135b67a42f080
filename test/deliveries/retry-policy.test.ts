import { expect, test } from 'vitest'
import { DEFAULT_RETRY_POLICY, nextAttemptAt } from '../../src/deliveries/retry-policy.ts'

const now = new Date('2026-03-01T08:00:00.000Z')
const failed = (retryAfterSeconds?: number) => ({
  succeeded: false,
  retryAfterMs: retryAfterSeconds === undefined ? null : retryAfterSeconds * 1000,
})
const delivered = { succeeded: true, retryAfterMs: null }

/** The seconds until the next attempt for one draw of the random number. */
function waits(
  policy: { delaysSeconds: number[] } | typeof DEFAULT_RETRY_POLICY,
  attempt: number,
  outcome: ReturnType<typeof failed>,
  draw: number,
) {
  const next = nextAttemptAt(policy, attempt, outcome, now, () => draw)
  return next === null ? null : (next.getTime() - now.getTime()) / 1000
}

test.each`
  attempt | seconds
  ${1}    | ${5}
  ${2}    | ${300}
  ${3}    | ${1800}
  ${4}    | ${7200}
  ${5}    | ${18_000}
  ${6}    | ${36_000}
  ${7}    | ${50_400}
  ${8}    | ${72_000}
  ${9}    | ${86_400}
`('after attempt $attempt the default waits $seconds s ± 20 %', ({ attempt, seconds }) => {
  expect(waits(DEFAULT_RETRY_POLICY, attempt, failed(), 0)).toBeCloseTo(seconds * 0.8, 2)
  expect(waits(DEFAULT_RETRY_POLICY, attempt, failed(), 0.5)).toBeCloseTo(seconds, 2)
  expect(waits(DEFAULT_RETRY_POLICY, attempt, failed(), 1)).toBeCloseTo(seconds * 1.2, 2)
})

test.each([10, 11, 1000])('after attempt %i of the default it is over', (attempt) => {
  expect(waits(DEFAULT_RETRY_POLICY, attempt, failed(), 0.5)).toBeNull()
  expect(waits(DEFAULT_RETRY_POLICY, attempt, failed(60), 0.5)).toBeNull()
})

test('the default is 10 attempts over 75 h 35 m', () => {
  const { delaysSeconds } = DEFAULT_RETRY_POLICY
  expect(delaysSeconds).toHaveLength(9)
  expect(Math.floor(delaysSeconds.reduce((sum, seconds) => sum + seconds) / 60)).toBe(75 * 60 + 35)
})

test.each`
  attempt | outcome          | draw   | seconds   | why
  ${1}    | ${delivered}     | ${0.5} | ${null}   | ${'delivered'}
  ${1}    | ${failed(120)}   | ${0.5} | ${120}    | ${'the floor is above the schedule'}
  ${2}    | ${failed(120)}   | ${0.5} | ${300}    | ${'the schedule is above the floor'}
  ${1}    | ${failed(6)}     | ${1}   | ${6}      | ${'the same'}
  ${1}    | ${failed(5)}     | ${1}   | ${6}      | ${'the stretched wait is above the floor'}
  ${1}    | ${failed(5)}     | ${0}   | ${5}      | ${'the shortened wait is below the floor'}
  ${1}    | ${failed(86400)} | ${0}   | ${86_400} | ${'a floor of a day'}
`('attempt $attempt: $seconds s, because $why', ({ attempt, outcome, draw, seconds }) => {
  expect(waits(DEFAULT_RETRY_POLICY, attempt, outcome, draw)).toBe(seconds)
})

test('the teaching schedule 1, 2, 4, 8, 16 s', () => {
  const policy = { delaysSeconds: [1, 2, 4, 8, 16] }
  expect([1, 2, 3, 4, 5, 6].map((attempt) => waits(policy, attempt, failed(), 0.5))).toEqual([1, 2, 4, 8, 16, null])
})

test('no delays: one attempt', () => {
  expect(waits({ delaysSeconds: [] }, 1, failed(), 0.5)).toBeNull()
})
