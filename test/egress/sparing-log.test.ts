import { expect, test, vi } from 'vitest'
import { sparing } from '../../src/egress/sparing-log.ts'

test('sixty warnings a minute, and after those how many were left out', () => {
  let now = 0
  const log = { warn: vi.fn() }
  const warn = sparing(log, () => now)
  const flood = (count: number) => Array.from({ length: count }, (_, index) => warn({ index }, 'refused'))

  flood(100)
  expect(log.warn).toHaveBeenCalledTimes(60)
  now += 60_000
  flood(1000)

  expect(log.warn).toHaveBeenCalledTimes(120)
  expect(log.warn.mock.calls[60]).toEqual([{ index: 0, leftOutBefore: 40 }, 'refused'])
  expect(log.warn.mock.calls[61]).toEqual([{ index: 1 }, 'refused'])
})
