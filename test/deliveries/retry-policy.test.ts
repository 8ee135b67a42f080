import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  DEFAULT_RETRY_POLICY,
  nextAttemptAt,
  plannedAttempts,
  type RetryPolicy,
} from '../../src/deliveries/retry-policy.ts'
import { delaysOf } from '../../src/endpoints/retry-schedule.ts'

const now = new Date('2026-03-01T08:00:00.000Z')
const failed = (retryAfterSeconds?: number) => ({
  succeeded: false,
  retryAfterMs: retryAfterSeconds === undefined ? null : retryAfterSeconds * 1000,
})
const delivered = { succeeded: true, retryAfterMs: null }

/** The seconds until the next attempt for one draw of the random number. */
function waits(policy: RetryPolicy, attempt: number, outcome: ReturnType<typeof failed>, draw: number) {
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

const exponential = (initialSeconds: number, factor: number, maxSeconds: number, attempts: number) => ({
  exponential: { initialSeconds, factor, maxSeconds, attempts },
})
const fixed = (intervalSeconds: number, attempts: number) => ({ fixed: { intervalSeconds, attempts } })

test.each`
  policy                            | delays
  ${{ delaysSeconds: [] }}          | ${[]}
  ${{ delaysSeconds: [7, 3] }}      | ${[7, 3]}
  ${fixed(60, 1)}                   | ${[]}
  ${fixed(60, 4)}                   | ${[60, 60, 60]}
  ${exponential(1, 2, 16, 1)}       | ${[]}
  ${exponential(1, 2, 16, 6)}       | ${[1, 2, 4, 8, 16]}
  ${exponential(1, 2, 16, 8)}       | ${[1, 2, 4, 8, 16, 16, 16]}
  ${exponential(30, 2, 3600, 8)}    | ${[30, 60, 120, 240, 480, 960, 1920]}
  ${exponential(10, 1.5, 86400, 5)} | ${[10, 15, 23, 34]}
  ${exponential(5, 1, 5, 3)}        | ${[5, 5]}
`('$policy waits $delays', ({ policy, delays }) => {
  expect(delaysOf(policy)).toEqual(delays)
  const attempts = [...delays.keys(), delays.length].map((index) => waits(policy, index + 1, failed(), 0.5))
  expect(attempts).toEqual([...delays, null])
})

test.each`
  made | planned
  ${0} | ${[0, 1, 3, 7]}
  ${1} | ${[0, 2, 6]}
  ${3} | ${[0]}
  ${9} | ${[0]}
`('after $made attempts of 1, 2, 4 s the next are planned after $planned s', ({ made, planned }) => {
  const at = plannedAttempts({ delaysSeconds: [1, 2, 4] }, made, now)
  expect(at.map((time) => (time.getTime() - now.getTime()) / 1000)).toEqual(planned)
})

const DAY = 86_400
const policies = fc.oneof(
  fc.record({ delaysSeconds: fc.array(fc.integer({ min: 1, max: 7 * DAY }), { maxLength: 20 }) }),
  fc.record({
    fixed: fc.record({
      intervalSeconds: fc.integer({ min: 1, max: 7 * DAY }),
      attempts: fc.integer({ min: 1, max: 100 }),
    }),
  }),
  fc.record({
    exponential: fc
      .record({
        initialSeconds: fc.integer({ min: 1, max: 7 * DAY }),
        factor: fc.double({ min: 1, max: 10, noNaN: true }),
        above: fc.integer({ min: 0, max: 7 * DAY }),
        attempts: fc.integer({ min: 1, max: 100 }),
      })
      .map(({ above, ...rest }) => ({ ...rest, maxSeconds: Math.min(7 * DAY, rest.initialSeconds + above) })),
  }),
)

test('whatever the policy: never earlier than now nor than Retry-After, never beyond the longest wait, and it ends', () => {
  fc.assert(
    fc.property(
      policies,
      fc.integer({ min: 1, max: 200 }),
      fc.option(fc.integer({ min: 0, max: DAY })),
      fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      (policy, attempt, retryAfter, draw) => {
        const wait = waits(policy, attempt, failed(retryAfter ?? undefined), draw)
        expect(wait === null).toBe(attempt > delaysOf(policy).length)
        if (wait === null) return
        const nominal = delaysOf(policy)[attempt - 1] as number
        expect(Number.isInteger(nominal) && nominal >= 1 && nominal <= 7 * DAY).toBe(true)
        expect(wait).toBeGreaterThanOrEqual(Math.max(nominal * 0.8 - 0.001, retryAfter ?? 0))
        expect(wait).toBeLessThanOrEqual(Math.max(nominal * 1.2 + 0.001, retryAfter ?? 0))
      },
    ),
  )
})

test('whatever the policy: what is planned is in order and as long as the attempts that are left', () => {
  fc.assert(
    fc.property(policies, fc.integer({ min: 0, max: 100 }), (policy, made) => {
      const planned = plannedAttempts(policy, made, now).map((at) => at.getTime())
      expect(planned[0]).toBe(now.getTime())
      expect(planned).toEqual(planned.toSorted((a, b) => a - b))
      expect(planned).toHaveLength(1 + Math.max(0, delaysOf(policy).length - made))
    }),
  )
})
