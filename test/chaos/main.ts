import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { check } from './check.ts'
import { MUTANTS } from './mutants.ts'
import { plan } from './plan.ts'
import { report } from './report.ts'
import { run } from './run.ts'

/**
 * The chaos test: publishers, four processes of Postrider, a receiver and a Postgres, of which one after another is killed or
 * stopped; then the laws. `npm run chaos -- --seconds 60 --seed 1 --mutant no-fence`. Ends with 1 when a law is broken.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(randomInt(1_000_000)) },
    mutant: { type: 'string' },
    quiet: { type: 'boolean', default: false },
  },
})
const seconds = Number(values.seconds)
const seed = Number(values.seed)
const mutant = values.mutant ?? null
const known = mutant === null ? null : MUTANTS[mutant]
if (!(seconds > 0) || !Number.isInteger(seed)) throw new Error('--seconds and --seed are numbers')
if (known === undefined) throw new Error(`There is no mutant "${mutant}", only ${Object.keys(MUTANTS).join(', ')}`)

process.stdout.write(`${seconds} s of chaos, --seed ${seed}${known ? `, where ${known.what}` : ''}\n`)
const steps = plan({ seed, seconds, ...(known ? { hand: known.hand } : {}) })
const { history, failures, drainSeconds, directory, forget } = await run({
  seed,
  seconds,
  steps,
  mutant,
  verbose: !values.quiet,
})
const { figures, violations } = check(history)
report({ figures: { ...figures, 'seconds to drain': drainSeconds }, violations, failures, faults: history.faults })
if (violations.length === 0) await forget()
else process.stdout.write(`Logs and journals: ${directory}\n`)
process.exitCode = violations.length === 0 ? 0 : 1
