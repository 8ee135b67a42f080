import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { mend } from '../../src/postgres/mend.ts'
import { MUTANTS } from './mutants.ts'

const top = new URL('../../', import.meta.url)

const edits = Object.entries(MUTANTS).flatMap(([name, mutant]) =>
  Object.entries(mutant.edits).map(([file, changes]) => ({ name, file, changes })),
)

test.each(edits)('$name changes the present text of $file', ({ file, changes }) => {
  const text = readFileSync(new URL(file, top), 'utf8')
  expect(mend(text, changes, file)).not.toBe(text)
})
