import { setTimeout as wait } from 'node:timers/promises'
import { createTrouble, type Log } from '../log.ts'
import type { EmbeddedPostgres } from './embedded.ts'

export type KeepRunningOptions = {
  server: EmbeddedPostgres
  /** Starts it again, at the same address. */
  start(): Promise<EmbeddedPostgres>
  log: Log
}

const LOOK_EVERY_MS = 500
const LONGEST_PAUSE_MS = 10_000

/**
 * Starts the embedded server again when it has died without us. No supervisor knows it, and one that starts us again could do no
 * more: what was in flight waits here, and is settled when the server is back.
 */
export function keepRunning({ server, start, log }: KeepRunningOptions): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const trouble = createTrouble(log, {
    failing: 'The embedded Postgres cannot be started again; still trying',
    working: 'The embedded Postgres could be started again',
    byItself: true,
  })
  let current = server
  const pause = (ms: number) => wait(ms, undefined, { signal: stopping.signal }).catch(() => {})

  const startAgain = async () => {
    log.error({}, 'The embedded Postgres has ended, and nobody here told it to: starting it again')
    for (let pauseMs = LOOK_EVERY_MS; !stopping.signal.aborted; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      try {
        current = await start()
        return trouble.over()
      } catch (error) {
        trouble.failed(error)
        await pause(pauseMs)
      }
    }
  }
  const watch = async () => {
    while (!stopping.signal.aborted) {
      if (!(await current.isRunning())) await startAgain()
      await pause(LOOK_EVERY_MS)
    }
  }
  const watching = watch()

  return {
    async stop() {
      stopping.abort()
      await watching
      await current.stop()
    },
  }
}
