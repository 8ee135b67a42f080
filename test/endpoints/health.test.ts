import fc from 'fast-check'
import { expect, test } from 'vitest'
import { diagnose, type Health, type HealthRules } from '../../src/endpoints/health.ts'

const now = new Date('2026-03-10T08:00:00.000Z')
const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const ago = (ms: number) => new Date(now.getTime() - ms)
const rules: HealthRules = { failingAfterSeconds: 300, disableAfterSeconds: 432_000, disableAfterAttempts: 20 }

const well: Health = { health: 'HEALTHY', failingSince: null, failedAttempts: 0 }
const unwell = (ms: number, failedAttempts: number): Health => ({ ...well, failingSince: ago(ms), failedAttempts })
const ill = (ms: number, failedAttempts: number): Health => ({ ...unwell(ms, failedAttempts), health: 'FAILING' })
const resumed: Health = { health: 'FAILING', failingSince: null, failedAttempts: 0 }
const [ok, no] = [true, false]

test.each`
  before                       | attempts        | health       | since                  | failed | change
  ${well}                      | ${[]}           | ${'HEALTHY'} | ${null}                | ${0}   | ${null}
  ${well}                      | ${[ok, ok]}     | ${'HEALTHY'} | ${null}                | ${0}   | ${null}
  ${well}                      | ${[no]}         | ${'HEALTHY'} | ${now}                 | ${1}   | ${null}
  ${well}                      | ${[no, ok]}     | ${'HEALTHY'} | ${null}                | ${0}   | ${null}
  ${well}                      | ${[ok, no, no]} | ${'HEALTHY'} | ${now}                 | ${2}   | ${null}
  ${unwell(5 * MINUTE - 1, 3)} | ${[no]}         | ${'HEALTHY'} | ${ago(5 * MINUTE - 1)} | ${4}   | ${null}
  ${unwell(5 * MINUTE, 3)}     | ${[no]}         | ${'FAILING'} | ${ago(5 * MINUTE)}     | ${4}   | ${'FAILING'}
  ${unwell(5 * MINUTE, 3)}     | ${[]}           | ${'HEALTHY'} | ${ago(5 * MINUTE)}     | ${3}   | ${null}
  ${unwell(5 * MINUTE, 3)}     | ${[ok]}         | ${'HEALTHY'} | ${null}                | ${0}   | ${null}
  ${unwell(5 * MINUTE, 3)}     | ${[no, ok, no]} | ${'HEALTHY'} | ${now}                 | ${1}   | ${null}
  ${ill(DAY, 9)}               | ${[no]}         | ${'FAILING'} | ${ago(DAY)}            | ${10}  | ${null}
  ${ill(DAY, 20)}              | ${[no, no]}     | ${'FAILING'} | ${ago(DAY)}            | ${20}  | ${null}
  ${ill(DAY, 9)}               | ${[ok]}         | ${'HEALTHY'} | ${null}                | ${0}   | ${'RECOVERED'}
  ${ill(DAY, 9)}               | ${[ok, no]}     | ${'HEALTHY'} | ${now}                 | ${1}   | ${'RECOVERED'}
  ${ill(5 * DAY - 1, 20)}      | ${[no]}         | ${'FAILING'} | ${ago(5 * DAY - 1)}    | ${20}  | ${null}
  ${ill(5 * DAY, 18)}          | ${[no]}         | ${'FAILING'} | ${ago(5 * DAY)}        | ${19}  | ${null}
  ${ill(5 * DAY, 19)}          | ${[no]}         | ${'FAILING'} | ${ago(5 * DAY)}        | ${20}  | ${'DISABLED'}
  ${unwell(6 * DAY, 19)}       | ${[no]}         | ${'FAILING'} | ${ago(6 * DAY)}        | ${20}  | ${'DISABLED'}
  ${ill(6 * DAY, 20)}          | ${[no, ok]}     | ${'HEALTHY'} | ${null}                | ${0}   | ${'RECOVERED'}
  ${resumed}                   | ${[no]}         | ${'FAILING'} | ${now}                 | ${1}   | ${null}
  ${resumed}                   | ${[ok]}         | ${'HEALTHY'} | ${null}                | ${0}   | ${'RECOVERED'}
`('$before.health since $before.failingSince, then $attempts: $health, $change', (row) => {
  expect(diagnose(row.before, row.attempts, now, rules)).toEqual({
    health: row.health,
    failingSince: row.since,
    failedAttempts: row.failed,
    change: row.change,
    disables: row.change === 'DISABLED' ? 'FAILING' : null,
  })
})

test('however attempts are split into batches of one moment, the diagnosis is the same', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 12 }), fc.nat(12), (attempts, at) => {
      const before = ill(DAY, 3)
      const once = diagnose(before, attempts, now, rules)
      const twice = diagnose(diagnose(before, attempts.slice(0, at), now, rules), attempts.slice(at), now, rules)
      expect({ ...twice, change: null }).toEqual({ ...once, change: null })
    }),
  )
})
