import type { Trouble } from '../log.ts'
import { createPause } from './pause.ts'

/** Work that is looked for again and again. */
export type Loop = {
  /** There may be something to do: looks again, also when it is just looking. */
  nudge(): void
  /** It is time to wait anew: what the wait depends on has changed. */
  hurry(): void
  /** Begins nothing more, and resolves when what is under way is done. */
  stop(): Promise<void>
}

export type LoopOptions = {
  /** Looks once and does what there is. Resolves to how long to wait then, in milliseconds; 0: there is more to do. */
  look(): Promise<number>
  /** Told of what fails, and when it works again. */
  trouble: Trouble
}

const PAUSE_AFTER_ERROR_MS = 500

/** Looks until it is stopped, whatever fails. A nudge is a hint: the wait that `look` asks for is the poll behind it. */
export function startLoop({ look, trouble }: LoopOptions): Loop {
  const pause = createPause()
  let stopping = false
  let nudged = false

  const run = async () => {
    while (!stopping) {
      nudged = false
      try {
        const ms = await look()
        trouble.over()
        if (ms > 0 && !nudged && !stopping) await pause.for(ms)
      } catch (err) {
        trouble.failed(err)
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
    hurry: () => pause.end(),
    async stop() {
      stopping = true
      pause.end()
      await running
    },
  }
}
