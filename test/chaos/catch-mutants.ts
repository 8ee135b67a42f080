import { parseArgs } from 'node:util'
import { check } from './check.ts'
import { MUTANTS } from './mutants.ts'
import { plan } from './plan.ts'
import { report } from './report.ts'
import { run } from './run.ts'

/**
 * The chaos test's own test: runs it on each mutant, and ends with 1 when one breaks no law, or another than it should.
 * `npm run chaos:mutants -- --seconds 15 --seed 1 --only no-fence`.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '15' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
})
const seconds = Number(values.seconds)
const seed = Number(values.seed)
const { verbose } = values
const chosen = Object.entries(MUTANTS).filter(([name]) => values.only === undefined || name === values.only)
if (chosen.length === 0) throw new Error(`There is no mutant "${values.only}", only ${Object.keys(MUTANTS).join(', ')}`)

const rows: Record<string, object> = {}
let survivors = 0
for (const [mutant, { what, hand, breaks }] of chosen) {
  process.stdout.write(`\n${mutant}: ${what}\n`)
  const beganAt = performance.now()
  const steps = plan({ seed, seconds, hand })
  const { history, failures, forget } = await run({ seed, seconds, steps, mutant, verbose })
  await forget()
  const { figures, violations } = check(history)
  report({ figures, violations, failures, faults: history.faults })
  const broken = [...Map.groupBy(violations, ({ law }) => law)].map(([law, of]) => `${law} ${of.length}`)
  const caught = violations.some(({ law }) => law === breaks)
  if (!caught) survivors++
  const took = Math.round((performance.now() - beganAt) / 1000)
  rows[mutant] = {
    caught: caught ? 'yes' : 'SURVIVED',
    'meant to break': breaks,
    broken: broken.join(', '),
    seconds: took,
  }
}
console.table(rows)
process.exitCode = survivors === 0 ? 0 : 1
