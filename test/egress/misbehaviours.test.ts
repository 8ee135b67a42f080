import { describe, expect, onTestFinished, test } from 'vitest'
import { outcomeOf } from '../../src/deliveries/outcome.ts'
import type { EgressResult } from '../../src/egress/request.ts'
import { authority } from './certificates.ts'
import { AT_THE_DEADLINE, misbehave } from './misbehaviours.ts'
import { BODIES } from './misbehaviours-body.ts'
import { CONNECTIONS } from './misbehaviours-connection.ts'
import { HEADS } from './misbehaviours-head.ts'
import { TLS_FAULTS } from './misbehaviours-tls.ts'
import { egressOf } from './world.ts'

const SHORT_MS = 300
const LONG_MS = 6000
// A busy machine is late for timers, too.
const MARGIN_MS = 500

describe.each([
  ['connections', 'http', CONNECTIONS],
  ['heads', 'http', HEADS],
  ['bodies', 'http', BODIES],
  ['TLS', 'https', TLS_FAULTS],
] as const)('%s', (_, scheme, misbehaviours) => {
  test.each(misbehaviours)('%s', async (...misbehaviour) => {
    const [, , comes, withinMs] = misbehaviour
    const receiver = await misbehave(misbehaviour, scheme)
    onTestFinished(() => receiver.close())
    const egress = egressOf({ resolve: async () => ['127.0.0.1'], tls: { ca: authority } })
    const untilDeadline = withinMs === AT_THE_DEADLINE

    const result = await egress.post(receiver.url, { deadlineMs: untilDeadline ? SHORT_MS : LONG_MS })

    expect(whatCame(result)).toBe(comes)
    expect(result.timings.totalMs).toBeLessThan(untilDeadline ? SHORT_MS + MARGIN_MS : withinMs)
    if (untilDeadline) expect(result.timings.totalMs).toBeGreaterThanOrEqual(SHORT_MS - 1)
    // What a kept socket still holds of the first exchange is no part of the second.
    else expect(whatCame(await egress.post(receiver.url, { deadlineMs: LONG_MS }))).toBe(comes)
  })
})

function whatCame(result: EgressResult) {
  const { succeeded, status, errorClass } = outcomeOf(result, new Date())
  return succeeded ? 'delivered' : errorClass === 'HTTP_STATUS' ? status : errorClass
}
