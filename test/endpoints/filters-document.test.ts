import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { checkFilter, createEvaluation } from '../../src/endpoints/filter.ts'
import { Mistake } from '../../src/mistake.ts'

const DOCUMENT = readFileSync(new URL('../../docs/filters.md', import.meta.url), 'utf8')
const blocks = (language: string) =>
  [...DOCUMENT.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs'))].map(([, text]) => String(text))

const { payload, ...event } = JSON.parse(blocks('json')[0] as string)
const EXAMPLES = blocks('cel')
  .flatMap((block) => block.trim().split('\n'))
  .map((line) => /^(.*?) +\/\/ (.*)$/.exec(line)?.slice(1) as [filter: string, comesTo: string])

test.each(EXAMPLES)('docs/filters.md: %s %s', (filter, comesTo) => {
  expect(outcomeOf(filter)).toBe(comesTo)
})

test('docs/filters.md has examples of everything that a filter may come to', () => {
  expect(EXAMPLES.length).toBeGreaterThan(40)
  expect(new Set(EXAMPLES.map(([, comesTo]) => comesTo)).size).toBe(4)
})

function outcomeOf(filter: string): string {
  try {
    checkFilter(filter, [])
  } catch (error) {
    if (error instanceof Mistake && error.code === 'INVALID_FILTER') return 'refused'
    throw error
  }
  const { holds, fault } = createEvaluation({ ...event, payload: () => payload }).verdict(filter)
  if (fault !== null) return 'no match'
  return holds ? 'holds' : 'does not hold'
}
