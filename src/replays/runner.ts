import { publicId } from '../../schema/ids.ts'
import { createTrouble, type Log } from '../log.ts'
import { toDate } from '../postgres/client.ts'
import { type Loop, startLoop } from '../queue/loop.ts'
import type { Wake } from '../queue/wake.ts'
import type { StepContext } from './step.ts'
import { takeTurn } from './turn.ts'

/** `perSecond`: how many deliveries one replay hands over in a second, at most. */
export type ReplayRunnerContext = StepContext & { wake: Wake; log: Log; perSecond?: number }

/** Nudged when a replay was started or cancelled. */
export type ReplayRunner = Pick<Loop, 'nudge' | 'stop'>

// A start and a cancellation wake it, and it knows when the next turn is: this is for a wake-up that got lost.
const POLL_MS = 5000
// Another process has the turn.
const OTHERS_TURN_MS = 10
// A tenth of what one process delivers: a replay is to be done soon, and not to be noticed.
const PER_SECOND = 250

/** Takes replays on, turn by turn. Any number of processes may: each turn belongs to one of them, and is in the database alone. */
export function createReplayRunner(parts: ReplayRunnerContext): ReplayRunner {
  const context = { perSecond: PER_SECOND, ...parts }
  const { db, clock, wake, log } = context
  const untilNextTurn = async () => {
    const [row] = await db.sql<{ next: string | null }[]>`select min(next_turn_at) as next from postrider.replays`
    const next = toDate(row?.next ?? null)
    return next === null ? POLL_MS : Math.min(POLL_MS, next.getTime() - clock.now().getTime())
  }
  const failing = createTrouble(log, {
    failing: 'A replay could not be taken on; it is tried again after 5 s',
    working: 'Replays are taken on again',
  })
  return startLoop({
    async look() {
      const ms = await untilNextTurn()
      if (ms > 0) return ms
      const turn = await takeTurn(context)
      if (turn === null) return OTHERS_TURN_MS
      // Only that one waits: the others take their turns meanwhile.
      if (turn.failed) failing.failed(turn.failed.err, { replay: publicId('rpl', turn.failed.replay) })
      wake.signal('replay-progress')
      if (turn.redelivered !== 0) wake.signal('deliver')
      return 0
    },
    trouble: createTrouble(log, {
      failing: 'Replays could not be taken on; trying again',
      working: 'Replays are taken on again',
    }),
  })
}
