import { expect, test } from 'vitest'
import { outcomeOf } from '../../src/deliveries/outcome.ts'
import { settlementOf, type Tried } from '../../src/deliveries/settlement.ts'

const now = new Date('2026-03-01T08:00:00.000Z')
const inAnHour = new Date('2026-03-01T09:00:00.000Z')
const after = (seconds: number) => new Date(now.getTime() + seconds * 1000)
const answered = (status: number) => outcomeOf({ status, headers: [], failure: null }, now)
const timedOut = outcomeOf({ status: null, headers: [], failure: { errorClass: 'TIMEOUT', message: 'Too slow.' } }, now)

const first: Tried = {
  state: 'PENDING',
  trigger: 'SCHEDULE',
  scheduledAttemptsMade: 0,
  nextAttemptAt: null,
  replayed: false,
}
const last: Tried = { ...first, scheduledAttemptsMade: 2 }
const byHand: Tried = { ...first, trigger: 'MANUAL' }
const whileWaiting: Tried = { ...byHand, scheduledAttemptsMade: 1, nextAttemptAt: inAnHour }
const afterTheEnd: Tried = { ...byHand, state: 'FAILED', scheduledAttemptsMade: 3 }
const onceMore: Tried = { ...afterTheEnd, state: 'DELIVERED' }
const reopened: Tried = { ...first, trigger: 'REPLAY', replayed: true }
const reopenedLast: Tried = { ...reopened, scheduledAttemptsMade: 2 }
const reopenedByHand: Tried = { ...reopened, trigger: 'MANUAL' }
const sentAgain: Tried = { ...reopened, state: 'DELIVERED', scheduledAttemptsMade: 1 }
const asATest: Tried = { ...first, trigger: 'TEST' }

test.each`
  what                   | tried             | outcome          | state          | waitingFor     | next         | disables
  ${'first'}             | ${first}          | ${answered(204)} | ${'DELIVERED'} | ${null}        | ${null}      | ${null}
  ${'first'}             | ${first}          | ${answered(500)} | ${'PENDING'}   | ${'RETRY'}     | ${after(10)} | ${null}
  ${'first'}             | ${first}          | ${timedOut}      | ${'PENDING'}   | ${'RETRY'}     | ${after(10)} | ${null}
  ${'first'}             | ${first}          | ${answered(410)} | ${'PENDING'}   | ${'RETRY'}     | ${after(10)} | ${'GONE'}
  ${'last'}              | ${last}           | ${answered(200)} | ${'DELIVERED'} | ${null}        | ${null}      | ${null}
  ${'last'}              | ${last}           | ${timedOut}      | ${'FAILED'}    | ${null}        | ${null}      | ${null}
  ${'last'}              | ${last}           | ${answered(410)} | ${'FAILED'}    | ${null}        | ${null}      | ${'GONE'}
  ${'by hand'}           | ${byHand}         | ${answered(200)} | ${'DELIVERED'} | ${null}        | ${null}      | ${null}
  ${'by hand'}           | ${byHand}         | ${answered(500)} | ${'PENDING'}   | ${'ALLOWANCE'} | ${null}      | ${null}
  ${'while waiting'}     | ${whileWaiting}   | ${answered(200)} | ${'DELIVERED'} | ${null}        | ${null}      | ${null}
  ${'while waiting'}     | ${whileWaiting}   | ${answered(500)} | ${'PENDING'}   | ${'RETRY'}     | ${inAnHour}  | ${null}
  ${'while waiting'}     | ${whileWaiting}   | ${answered(410)} | ${'PENDING'}   | ${'RETRY'}     | ${inAnHour}  | ${'GONE'}
  ${'after the end'}     | ${afterTheEnd}    | ${answered(200)} | ${'DELIVERED'} | ${null}        | ${null}      | ${null}
  ${'after the end'}     | ${afterTheEnd}    | ${answered(500)} | ${'FAILED'}    | ${null}        | ${null}      | ${null}
  ${'once more'}         | ${onceMore}       | ${answered(500)} | ${'DELIVERED'} | ${null}        | ${null}      | ${null}
  ${'reopened'}          | ${reopened}       | ${answered(200)} | ${'DELIVERED'} | ${null}        | ${null}      | ${null}
  ${'reopened'}          | ${reopened}       | ${answered(500)} | ${'PENDING'}   | ${'RETRY'}     | ${after(10)} | ${null}
  ${'reopened'}          | ${reopened}       | ${answered(410)} | ${'PENDING'}   | ${'RETRY'}     | ${after(10)} | ${'GONE'}
  ${'reopened, last'}    | ${reopenedLast}   | ${answered(500)} | ${'FAILED'}    | ${null}        | ${null}      | ${null}
  ${'reopened, by hand'} | ${reopenedByHand} | ${answered(500)} | ${'PENDING'}   | ${'REPLAY'}    | ${null}      | ${null}
  ${'sent again'}        | ${sentAgain}      | ${answered(200)} | ${'DELIVERED'} | ${null}        | ${null}      | ${null}
  ${'sent again'}        | ${sentAgain}      | ${answered(500)} | ${'DELIVERED'} | ${null}        | ${null}      | ${null}
  ${'sent again'}        | ${sentAgain}      | ${answered(410)} | ${'DELIVERED'} | ${null}        | ${null}      | ${'GONE'}
  ${'as a test'}         | ${asATest}        | ${answered(200)} | ${'DELIVERED'} | ${null}        | ${null}      | ${null}
  ${'as a test'}         | ${asATest}        | ${answered(500)} | ${'FAILED'}    | ${null}        | ${null}      | ${null}
  ${'as a test'}         | ${asATest}        | ${timedOut}      | ${'FAILED'}    | ${null}        | ${null}      | ${null}
  ${'as a test'}         | ${asATest}        | ${answered(410)} | ${'FAILED'}    | ${null}        | ${null}      | ${null}
`(
  '$what, $outcome.status $outcome.errorClass → $state $waitingFor $disables',
  ({ tried, outcome, state, waitingFor, next, disables }) => {
    const settlement = settlementOf(tried, outcome, { delaysSeconds: [10, 20] }, now, () => 0.5)
    const scheduled = tried.trigger === 'SCHEDULE' || tried === reopened || tried === reopenedLast
    expect(settlement).toEqual({ state, waitingFor, nextAttemptAt: next, scheduled, disables })
  },
)
