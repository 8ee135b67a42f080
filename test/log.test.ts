import { describe, expect, test, vi } from 'vitest'
import { createTrouble, describeError, silentLog } from '../src/log.ts'
import { withOutages } from '../src/postgres/outage.ts'
import { emittedError } from '../src/queue/open.ts'

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

describe('an outage of the database is one trouble of a process', () => {
  function outage() {
    const plain = { ...silentLog, warn: vi.fn(), error: vi.fn() }
    const log = withOutages(plain)
    const loops = ['claimed', 'routed', 'settled'].map((what) =>
      createTrouble(log, { failing: `not ${what}`, working: `${what} again` }),
    )
    const told = () => [...plain.error.mock.calls, ...plain.warn.mock.calls].map(([, sentence]) => sentence)
    return { log, loops, told }
  }
  const [away, back] = ['The database is unavailable; trying again', 'The database is available again']

  test('however many run into it, at whatever step of its going and coming', () => {
    const { loops, told } = outage()
    for (const code of ['57P01', 'CONNECTION_CLOSED', 'ECONNREFUSED', 'ACQUIRE_TIMEOUT', '57P03']) {
      for (const loop of loops) loop.failed(failure(code))
    }
    expect(told()).toEqual([away])
    for (const loop of loops) loop.over()
    expect(told()).toEqual([away, back])
  })

  test('what somebody has to do something about is told of apart', () => {
    const { loops, told } = outage()
    for (const code of ['ECONNREFUSED', '28P01', '53100', '53100']) loops[0]?.failed(failure(code))
    expect(told()).toEqual([away, away, away])
  })

  test('other failures stay the trouble of the loop that has them, and what it comes from is told by itself', () => {
    const { log, loops, told } = outage()
    loops[0]?.failed(failure('40P01'))
    loops[0]?.over()
    createTrouble(log, { failing: 'not started', working: 'started', byItself: true }).failed(failure('ENOENT'))
    expect(told()).toEqual(['not claimed', 'not started', 'claimed again'])
  })
})

describe('an error in the log', () => {
  test('has its stack, unless it comes from outside', () => {
    expect(describeError(new Error('ours'))).toMatchObject({ message: 'ours', stack: expect.stringContaining(' at ') })
    for (const code of ['ECONNREFUSED', '57P03', 'CONNECTION_CLOSED', '28P01', 'EAI_AGAIN']) {
      expect(describeError(failure(code))).toEqual({ type: 'Error', message: `something with ${code}`, code })
    }
    expect(describeError(failure('ERR_INVALID_ARG_TYPE'))).toHaveProperty('stack')
  })

  test('of several addresses says what each of them said', () => {
    const error = Object.assign(new AggregateError([new Error('no to ::1'), new Error('no to 127.0.0.1')]), {
      code: 'ECONNREFUSED',
    })
    expect(describeError(error)).toMatchObject({ message: 'no to ::1; no to 127.0.0.1' })
  })

  test('is recognised when the queue made a plain object of it', () => {
    const { message, stack } = failure('57P03')
    const emitted = { message, stack, code: '57P03', queue: 'sweep', worker: 'x', params: ['a payload'] }
    expect(describeError(emitted)).toMatchObject({ message, code: '57P03' })
    const error = emittedError(emitted)
    expect(error).toMatchObject({ message: `${message} (queue sweep)`, code: '57P03' })
    expect(JSON.stringify(describeError(error))).not.toContain('payload')
    expect(emittedError(error)).toBe(error)
  })
})
