import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { AttemptErrorClass } from '../../schema/outcomes.ts'
import { type Load, paceAfter } from '../../src/deliveries/pacing.ts'

const took = { durationMs: 40, timeoutSeconds: 10 }
const ok: Load = { ...took, succeeded: true, status: 200, errorClass: null }
const slow: Load = { ...ok, durationMs: 5001 }
const answered = (status: number): Load => ({ ...took, succeeded: false, status, errorClass: 'HTTP_STATUS' })
const failed = (errorClass: AttemptErrorClass): Load => ({ ...took, succeeded: false, status: null, errorClass })
const at = (allowance: number, reason = 'PUSHBACK') => ({ allowance, reason })

test.each`
  before           | loads                                     | after                | why
  ${null}          | ${[ok, ok]}                               | ${null}              | ${'all is well'}
  ${null}          | ${[answered(429)]}                        | ${at(10)}            | ${'it says so'}
  ${null}          | ${[ok, ok, ok, answered(503)]}            | ${at(10)}            | ${'one that says so is enough'}
  ${null}          | ${[answered(502)]}                        | ${at(10)}            | ${'its proxy says so'}
  ${null}          | ${[answered(504)]}                        | ${at(10)}            | ${'its proxy says so'}
  ${null}          | ${[answered(500)]}                        | ${at(10, 'FAILING')} | ${'nothing but errors'}
  ${null}          | ${[ok, ok, answered(500)]}                | ${null}              | ${'one event it cannot digest'}
  ${null}          | ${[failed('TIMEOUT'), failed('RESET')]}   | ${at(10, 'FAILING')} | ${'it does not answer'}
  ${null}          | ${[answered(404), answered(400)]}         | ${null}              | ${'not a question of load'}
  ${null}          | ${[failed('DNS'), failed('TLS_EXPIRED')]} | ${null}              | ${'not a question of load'}
  ${null}          | ${[failed('PROXY'), failed('INTERNAL')]}  | ${null}              | ${'our own fault'}
  ${null}          | ${[slow]}                                 | ${at(10, 'SLOW')}    | ${'more than half of its timeout'}
  ${at(6, 'SLOW')} | ${[slow]}                                 | ${at(5, 'SLOW')}     | ${'no fewer than a quarter: it may simply be slow'}
  ${at(5, 'SLOW')} | ${[slow]}                                 | ${at(5, 'SLOW')}     | ${'no fewer than a quarter: it may simply be slow'}
  ${null}          | ${[slow, ok]}                             | ${null}              | ${'only one was slow'}
  ${at(10)}        | ${[answered(429)]}                        | ${at(5)}             | ${'still too much'}
  ${at(5)}         | ${[answered(429)]}                        | ${at(2)}             | ${'still too much'}
  ${at(1)}         | ${[answered(429)]}                        | ${at(1)}             | ${'one it must be, or it never recovers'}
  ${at(1)}         | ${[ok]}                                   | ${at(2)}             | ${'probing'}
  ${at(2)}         | ${[ok, ok]}                               | ${at(4)}             | ${'probing'}
  ${at(10)}        | ${[ok]}                                   | ${null}              | ${'all of it again'}
  ${at(4)}         | ${[answered(404)]}                        | ${at(4)}             | ${'says nothing about load'}
  ${at(4)}         | ${[answered(500)]}                        | ${at(2, 'FAILING')}  | ${'for another reason now'}
`('$before.allowance of 20 → $after.allowance $after.reason: $why', ({ before, loads, after }) => {
  expect(paceAfter(before, 20, loads)).toEqual(after)
})

test('a lowered maxInFlight counts at once', () => {
  expect(paceAfter(at(16) as never, 4, [answered(429)])).toEqual(at(2))
  expect(paceAfter(at(16) as never, 4, [ok])).toBeNull()
})

test('always at least one, never more than maxInFlight; five quiet rounds give 20 back', () => {
  const loads = fc.array(fc.constantFrom(ok, slow, answered(429), answered(500), answered(404)), { minLength: 1 })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1000 }), fc.array(loads), (maxInFlight, rounds) => {
      let pace: ReturnType<typeof paceAfter> = null
      for (const round of rounds) {
        pace = paceAfter(pace, maxInFlight, round)
        if (pace !== null) expect(pace.allowance >= 1 && pace.allowance <= maxInFlight).toBe(true)
      }
    }),
  )
  let pace: ReturnType<typeof paceAfter> = { allowance: 1, reason: 'PUSHBACK' }
  for (let round = 0; round < 5; round++) pace = paceAfter(pace, 20, [ok])
  expect(pace).toBeNull()
})
