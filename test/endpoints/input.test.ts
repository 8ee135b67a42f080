import { expect, test } from 'vitest'
import { DEFAULT_RETRY_POLICY } from '../../src/deliveries/retry-policy.ts'
import { readSettings } from '../../src/endpoints/input.ts'

const fault = (delaysSeconds: readonly number[]) => {
  try {
    readSettings({ retry: { delaysSeconds } }, ['input'])
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
`('the delays $delaysSeconds have a fault at $path', ({ delaysSeconds, path }) => {
  expect(fault(delaysSeconds)).toBe(path)
})
