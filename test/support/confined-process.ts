import { confine } from './loopback.ts'

/** Preloaded into every process that a test launches. Nobody can catch an exit. */
confine((attempt) => {
  process.stderr.write(`${attempt.stack}\n`)
  process.exit(97)
})
