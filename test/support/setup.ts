import { syncBuiltinESMExports } from 'node:module'
import threads, { type WorkerOptions } from 'node:worker_threads'
import { afterEach } from 'vitest'
import { confine, type Escape } from './loopback.ts'

/** What tried to leave since it was last asked, for the tests that want it to. */
export function takeEscapes(): Escape[] {
  return escapes.splice(0)
}

const escapes: Escape[] = []

confine((attempt) => escapes.push(attempt))
// And so for every Node process and thread that is started from here, however it is started.
const PRELOAD = `--import=${new URL('confined-process.ts', import.meta.url)}`
process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} ${PRELOAD}`
const { Worker } = threads
class ConfinedWorker extends Worker {
  constructor(file: string | URL, options: WorkerOptions = {}) {
    super(file, { ...options, execArgv: [...(options.execArgv ?? process.execArgv), PRELOAD] })
  }
}
Object.assign(threads, { Worker: ConfinedWorker })
syncBuiltinESMExports()

// Thrown into code that expects failures of the network, an escape might look like one.
afterEach(() => {
  const [first] = takeEscapes()
  if (first) throw first
})
