import { createTrouble, type Log } from '../log.ts'
import { toDate } from '../postgres/client.ts'
import { createPause } from '../queue/pause.ts'
import type { Wake } from '../queue/wake.ts'
import type { StepContext } from './step.ts'
import { takeTurn } from './turn.ts'

/** `perSecond`: how many deliveries one replay hands over in a second, at most. */
export type ReplayRunnerContext = StepContext & { wake: Wake; log: Log; perSecond?: number }

export type ReplayRunner = {
  /** A replay was started or cancelled. */
  nudge(): void
  stop(): Promise<void>
}

// A start and a cancellation wake it, and it knows when the next turn is: this is for a wake-up that got lost.
const POLL_MS = 5000
const PAUSE_AFTER_ERROR_MS = 500
// Another process has the turn.
const OTHERS_TURN_MS = 10
// A tenth of what one process delivers: a replay is to be done soon, and not to be noticed.
const PER_SECOND = 250

/** Takes replays on, turn by turn. Any number of processes may: each turn belongs to one of them, and is in the database alone. */
export function createReplayRunner(parts: ReplayRunnerContext): ReplayRunner {
  const context = { perSecond: PER_SECOND, ...parts }
  const { db, clock, wake, log } = context
  const pause = createPause()
  const taking = createTrouble(log, {
    failing: 'Replays could not be taken on; trying again',
    working: 'Replays are taken on again',
  })
  let stopping = false
  let nudged = false

  const untilNextTurn = async () => {
    const [row] = await db.sql<{ next: string | null }[]>`select min(next_turn_at) as next from postrider.replays`
    const next = toDate(row?.next ?? null)
    return next === null ? POLL_MS : Math.min(POLL_MS, next.getTime() - clock.now().getTime())
  }
  const run = async () => {
    while (!stopping) {
      nudged = false
      try {
        const ms = await untilNextTurn()
        taking.over()
        if (ms > 0) {
          if (!nudged && !stopping) await pause.for(ms)
          continue
        }
        const turn = await takeTurn(context)
        if (turn !== null) wake.signal('replay-progress')
        if (turn !== null && turn.redelivered !== 0) wake.signal('deliver')
        if (turn === null && !stopping) await pause.for(OTHERS_TURN_MS)
      } catch (err) {
        taking.failed(err)
        if (!stopping) await pause.for(PAUSE_AFTER_ERROR_MS)
      }
    }
  }
  const running = run()

  return {
    nudge() {
      nudged = true
      pause.end()
    },
    async stop() {
      stopping = true
      pause.end()
      await running
    },
  }
}
