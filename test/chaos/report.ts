import { type Figures, LAWS, type Violation } from './check.ts'
import type { Fault } from './history.ts'

const MOST_EXAMPLES = 5

export type Report = { figures: Figures; violations: Violation[]; failures: Map<string, number>; faults: Fault[] }

/** Prints what a run came to. */
export function report({ figures, violations, failures, faults }: Report): void {
  const byKind = [...Map.groupBy(faults, ({ kind }) => kind)].map(([kind, of]) => `${kind} ${of.length}`)
  console.table({
    ...figures,
    'publishes tried again, by reason': [...failures].map(([reason, count]) => `${reason} ${count}`).join(', '),
    'faults that put claims at risk': byKind.join(', '),
  })
  for (const [law, of] of Map.groupBy(violations, ({ law }) => law)) {
    process.stdout.write(`✗ ${law}: ${LAWS[law]}: ${of.length} times not\n`)
    for (const { what } of of.slice(0, MOST_EXAMPLES)) process.stdout.write(`    ${what}\n`)
  }
  if (violations.length === 0) process.stdout.write('✓ every law holds\n')
}
