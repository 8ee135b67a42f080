import { flushCompileCache } from 'node:module'
import { confine } from './loopback.ts'

const FLUSH_AFTER_MS = 3000

/** Preloaded into every process that a test launches. Nobody can catch an exit. */
confine((attempt) => {
  process.stderr.write(`${attempt.stack}\n`)
  process.exit(97)
})

// Most of them are killed, and would leave what they have compiled to nobody.
setTimeout(flushCompileCache, FLUSH_AFTER_MS).unref()
