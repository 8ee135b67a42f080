import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { AttemptErrorClass } from '../../schema/outcomes.ts'
import { outcomeOf } from '../../src/deliveries/outcome.ts'
import type { EgressResult } from '../../src/egress/request.ts'

const now = new Date('2026-03-01T08:00:00.000Z')
const HOUR = 3_600_000

function answered(status: number, ...headers: [string, string][]): EgressResult {
  return { ...nothing, status, headers, bodyBytes: 0, remoteAddress: '127.0.0.1' }
}

function failed(errorClass: AttemptErrorClass): EgressResult {
  return { ...nothing, failure: { errorClass, message: 'What to do about it.' } }
}

const nothing: EgressResult = {
  status: null,
  headers: [],
  body: Buffer.alloc(0),
  bodyBytes: null,
  truncated: false,
  remoteAddress: null,
  reusedSocket: false,
  timings: { dnsMs: null, connectMs: null, tlsMs: null, firstByteMs: null, totalMs: 1 },
  failure: null,
}

test.each([200, 201, 202, 204, 226, 299])('%i is delivered', (status) => {
  const delivered = { succeeded: true, status, errorClass: null, errorMessage: null, retryAfterMs: null, gone: false }
  expect(outcomeOf(answered(status), now)).toEqual(delivered)
  const brokenOff: EgressResult = { ...answered(status, ['retry-after', '60']), truncated: true }
  expect(outcomeOf(brokenOff, now)).toEqual(delivered)
})

test.each`
  status | gone     | message
  ${300} | ${false} | ${'never followed'}
  ${304} | ${false} | ${'200 to 299'}
  ${400} | ${false} | ${'400'}
  ${401} | ${false} | ${'signing secret'}
  ${404} | ${false} | ${'Check the URL'}
  ${410} | ${true}  | ${'wants nothing more'}
  ${418} | ${false} | ${'200 to 299'}
  ${429} | ${false} | ${'called less often'}
  ${500} | ${false} | ${'went wrong'}
  ${502} | ${false} | ${'answered 502'}
  ${503} | ${false} | ${'answered 503'}
  ${504} | ${false} | ${'answered 504'}
  ${599} | ${false} | ${'went wrong'}
  ${600} | ${false} | ${'200 to 299'}
  ${999} | ${false} | ${'200 to 299'}
`('$status fails, with advice: $message', ({ status, gone, message }) => {
  const outcome = outcomeOf(answered(status), now)
  expect(outcome).toMatchObject({ succeeded: false, status, errorClass: 'HTTP_STATUS', retryAfterMs: null, gone })
  expect(outcome.errorMessage).toContain(String(status))
  expect(outcome.errorMessage).toContain(message)
})

test.each`
  location                   | shown
  ${'https://new.test/hook'} | ${'points to https://new.test/hook. '}
  ${'/hook'}                 | ${'points to /hook. '}
  ${'bad\u0007 text'}        | ${'answered 308. '}
  ${`/${'a'.repeat(600)}`}   | ${'answered 308. '}
`('a redirect to $location tells the owner to update the URL', ({ location, shown }) => {
  const { errorMessage } = outcomeOf(answered(308, ['Location', location]), now)
  expect(errorMessage).toContain(shown)
  expect(errorMessage).toContain('update the URL')
})

test.each(['TIMEOUT', 'RESET', 'DNS', 'BLOCKED_ADDRESS', 'TLS_EXPIRED', 'PROTOCOL', 'INTERNAL'] as const)(
  '%s is a failure with its own class',
  (errorClass) => {
    expect(outcomeOf(failed(errorClass), now)).toEqual({
      succeeded: false,
      status: null,
      errorClass,
      errorMessage: 'What to do about it.',
      retryAfterMs: null,
      gone: false,
    })
  },
)

test.each`
  header                               | waits
  ${'120'}                             | ${120_000}
  ${' 120 '}                           | ${120_000}
  ${'1'}                               | ${1000}
  ${'0'}                               | ${null}
  ${'86400'}                           | ${24 * HOUR}
  ${'86401'}                           | ${24 * HOUR}
  ${'9'.repeat(400)}                   | ${24 * HOUR}
  ${'-5'}                              | ${null}
  ${'1.5'}                             | ${null}
  ${'1e3'}                             | ${null}
  ${'0x10'}                            | ${null}
  ${'+5'}                              | ${null}
  ${'soon'}                            | ${null}
  ${''}                                | ${null}
  ${'Sun, 01 Mar 2026 09:00:00 GMT'}   | ${HOUR}
  ${'Sunday, 01-Mar-26 09:00:00 GMT'}  | ${HOUR}
  ${'Sun Mar  1 09:00:00 2026'}        | ${HOUR}
  ${'Tue, 10 Mar 2026 09:00:00 GMT'}   | ${24 * HOUR}
  ${'Sun, 01 Mar 2026 07:59:59 GMT'}   | ${null}
  ${'Sun, 99 Mar 2026 09:00:00 GMT'}   | ${null}
  ${'2026-03-01T09:00:00Z'}            | ${null}
  ${'Sun, 01 Mar 2026 09:00:00 +0100'} | ${null}
`('Retry-After: $header waits $waits ms', ({ header, waits }) => {
  for (const status of [429, 503, 500, 404, 302]) {
    expect(outcomeOf(answered(status, ['Retry-After', header]), now).retryAfterMs).toBe(waits)
  }
})

test('the advice tells how long the endpoint asked to be left alone', () => {
  expect(outcomeOf(answered(503, ['retry-after', '7']), now).errorMessage).toContain('for 7 s (Retry-After).')
  expect(outcomeOf(answered(429, ['retry-after', '99999999']), now).errorMessage).toContain(
    '86400 s (Retry-After), the most',
  )
  expect(outcomeOf(answered(503), now).errorMessage).not.toContain('Retry-After')
})

test('of two Retry-After headers the longer wait counts, and garbage beside it does not', () => {
  const headers: [string, string][] = [
    ['retry-after', '10'],
    ['Retry-After', '20'],
    ['retry-after', 'x'],
  ]
  expect(outcomeOf(answered(503, ...headers), now).retryAfterMs).toBe(20_000)
})

const anyValue = fc.oneof(
  fc.string({ unit: 'binary-ascii' }),
  fc.integer().map(String),
  fc.bigInt().map(String),
  fc.double().map(String),
  fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  fc.date({ noInvalidDate: true }).map((date) => date.toString()),
)

test('whatever Retry-After says: nothing, or more than now and at most 24 h', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(301, 404, 410, 429, 500, 502, 503, 504),
      fc.array(anyValue, { maxLength: 3 }),
      (status, values) => {
        const { retryAfterMs } = outcomeOf(
          answered(status, ...values.map((value): [string, string] => ['Retry-After', value])),
          now,
        )
        if (retryAfterMs === null) return
        expect(retryAfterMs).toBeGreaterThan(0)
        expect(retryAfterMs).toBeLessThanOrEqual(24 * HOUR)
      },
    ),
    { numRuns: 1000 },
  )
})

test('any whole number of seconds up to a day, and the same moment as a date, wait as long', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 86_400 }), (seconds) => {
      const date = new Date(now.getTime() + seconds * 1000).toUTCString()
      for (const value of [String(seconds), `00${seconds}`, date]) {
        expect(outcomeOf(answered(503, ['retry-after', value]), now).retryAfterMs).toBe(seconds * 1000)
      }
    }),
  )
})

test('a date that is past waits for nothing', () => {
  fc.assert(
    fc.property(fc.date({ max: now, noInvalidDate: true, min: new Date(0) }), (past) => {
      expect(outcomeOf(answered(503, ['retry-after', past.toUTCString()]), now).retryAfterMs).toBeNull()
    }),
  )
})
