import { expect, test } from 'vitest'
import { DEFAULT_RETRY_POLICY } from '../../src/deliveries/retry-policy.ts'
import { longestScheduleSeconds, type RetryPolicyInput, readRetryPolicy } from '../../src/endpoints/retry-schedule.ts'

const fault = (retry: RetryPolicyInput, bodyDays = 30) => {
  try {
    readRetryPolicy(retry, ['input', 'retry'], longestScheduleSeconds(bodyDays))
    return null
  } catch (error) {
    return (error as { path: string[] }).path.join('.')
  }
}

test.each`
  delaysSeconds                         | path
  ${[]}                                 | ${null}
  ${[1]}                                | ${null}
  ${[604_800]}                          | ${null}
  ${Array(20).fill(60)}                 | ${null}
  ${DEFAULT_RETRY_POLICY.delaysSeconds} | ${null}
  ${Array(21).fill(60)}                 | ${'input.retry.delaysSeconds'}
  ${[604_801]}                          | ${'input.retry.delaysSeconds.0'}
  ${[0]}                                | ${'input.retry.delaysSeconds.0'}
  ${[5, -1, 5]}                         | ${'input.retry.delaysSeconds.1'}
  ${Array(19).fill(86_400)}             | ${null}
  ${Array(20).fill(86_400)}             | ${'input.retry.delaysSeconds'}
`('the delays $delaysSeconds have a fault at $path', ({ delaysSeconds, path }) => {
  expect(fault({ delaysSeconds })).toBe(path)
})

const exponential = (initialSeconds: number, factor: number | null, maxSeconds: number | null, attempts: number) => ({
  exponential: { initialSeconds, factor, maxSeconds, attempts },
})
const fixed = (intervalSeconds: number, attempts: number) => ({ fixed: { intervalSeconds, attempts } })

test.each`
  retry                                                                 | path
  ${fixed(1, 1)}                                                        | ${null}
  ${fixed(604_800, 3)}                                                  | ${null}
  ${fixed(60, 100)}                                                     | ${null}
  ${fixed(0, 3)}                                                        | ${'fixed.intervalSeconds'}
  ${fixed(604_801, 3)}                                                  | ${'fixed.intervalSeconds'}
  ${fixed(60, 0)}                                                       | ${'fixed.attempts'}
  ${fixed(60, 101)}                                                     | ${'fixed.attempts'}
  ${fixed(604_800, 4)}                                                  | ${'fixed'}
  ${exponential(1, 2, 16, 6)}                                           | ${null}
  ${exponential(1, null, null, 10)}                                     | ${null}
  ${exponential(604_800, 1, null, 2)}                                   | ${null}
  ${exponential(0, 2, 16, 6)}                                           | ${'exponential.initialSeconds'}
  ${exponential(1, 0.9, 16, 6)}                                         | ${'exponential.factor'}
  ${exponential(1, 10.1, 16, 6)}                                        | ${'exponential.factor'}
  ${exponential(1, Number.NaN, 16, 6)}                                  | ${'exponential.factor'}
  ${exponential(10, 2, 9, 6)}                                           | ${'exponential.maxSeconds'}
  ${exponential(10, 2, 604_801, 6)}                                     | ${'exponential.maxSeconds'}
  ${exponential(10, 2, 60, 0)}                                          | ${'exponential.attempts'}
  ${exponential(10, 2, 60, 101)}                                        | ${'exponential.attempts'}
  ${exponential(3600, 10, 604_800, 100)}                                | ${'exponential'}
  ${{}}                                                                 | ${''}
  ${{ delaysSeconds: [1], fixed: { intervalSeconds: 1, attempts: 1 } }} | ${''}
`('the schedule $retry has a fault at $path', ({ retry, path }) => {
  expect(fault(retry)).toBe(path === null ? null : ['input.retry', path].filter(Boolean).join('.'))
})

test('waits that grow have a factor of 2 and a day at most, unless told', () => {
  const given = { initialSeconds: 10, attempts: 5 }
  const policy = { exponential: { ...given, factor: 2, maxSeconds: 86_400 } }
  expect(readRetryPolicy({ exponential: given }, [], longestScheduleSeconds(30))).toEqual(policy)
  const long = { ...given, initialSeconds: 100_000 }
  expect(readRetryPolicy({ exponential: long }, [], longestScheduleSeconds(30))).toMatchObject({
    exponential: { maxSeconds: 100_000 },
  })
})

test.each`
  bodyDays | days
  ${12}    | ${4}
  ${14}    | ${5}
  ${30}    | ${19}
  ${90}    | ${69}
`('where payloads are kept for $bodyDays days, all waits take at most $days together', ({ bodyDays, days }) => {
  expect(fault(fixed(86_400, days + 1), bodyDays)).toBe(null)
  expect(fault(fixed(86_400, days + 2), bodyDays)).toBe('input.retry.fixed')
  expect(fault({ delaysSeconds: DEFAULT_RETRY_POLICY.delaysSeconds }, bodyDays)).toBe(null)
})
