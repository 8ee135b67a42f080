import { expect, test, vi } from 'vitest'
import { createTrouble, silentLog } from '../src/log.ts'

const failure = (code: string) => Object.assign(new Error(`something with ${code}`), { code })

function world() {
  const log = { ...silentLog, warn: vi.fn(), error: vi.fn() }
  const clock = { now: 0 }
  const trouble = createTrouble(log, { failing: 'it fails', working: 'it works again', now: () => clock.now })
  return { log, clock, trouble }
}

test('what fails twice a second for a minute is told of at once, every half a minute, and when it is over', () => {
  const { log, clock, trouble } = world()
  for (let n = 0; n < 120; n++, clock.now += 500) trouble.failed(failure('57P01'))
  trouble.over()
  trouble.over()

  expect(log.error.mock.calls.map(([facts, sentence]) => [facts.failures, sentence])).toEqual([
    [undefined, 'it fails'],
    [61, 'it fails'],
  ])
  expect(log.warn.mock.calls).toEqual([[{ failures: 120, seconds: 60 }, 'it works again']])
})

test('another kind of failure is told of at once, also one that an ORM has wrapped', () => {
  const { log, trouble } = world()
  trouble.failed(failure('57P01'))
  trouble.failed(new Error('query failed', { cause: failure('57P01') }))
  trouble.failed(new Error('query failed', { cause: failure('53100') }))
  expect(log.error).toHaveBeenCalledTimes(2)
})

test('what comes and goes is not told of each time', () => {
  const { log, clock, trouble } = world()
  for (let n = 0; n < 20; n++, clock.now += 1000) {
    trouble.failed(failure('40P01'))
    trouble.over()
  }
  expect(log.error).toHaveBeenCalledTimes(1)
  expect(log.warn).toHaveBeenCalledTimes(1)
})
