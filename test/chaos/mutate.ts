import { registerHooks } from 'node:module'
import { mend } from '../../src/postgres/mend.ts'
import { MUTANTS } from './mutants.ts'

/** Preloaded into a server: makes it the mutant that POSTRIDER_TEST_MUTANT names, or keeps it from starting. */
const name = process.env.POSTRIDER_TEST_MUTANT ?? ''
const mutant = MUTANTS[name]
if (mutant === undefined) throw new Error(`There is no mutant "${name}"`)

const top = new URL('../../', import.meta.url)
const changed = new Map(Object.entries(mutant.edits).map(([file, edits]) => [new URL(file, top).href, edits]))

registerHooks({
  load(url, context, nextLoad) {
    const file = nextLoad(url, context)
    const edits = changed.get(url)
    if (edits === undefined) return file
    return { ...file, source: mend(new TextDecoder().decode(file.source as Uint8Array), edits, url) }
  },
})
