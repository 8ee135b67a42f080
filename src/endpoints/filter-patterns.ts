import { RE2JS, RE2JSSyntaxException } from '@bufbuild/re2'
import { roughSizeOf } from '../event-types/pattern-size.ts'

export type Pattern = { test(text: string): boolean; size: number }

/** All regular expressions of one filter together, in instructions of the machine that runs them: `x{500}` has 500. */
export const LARGEST_PATTERNS = 500
// Compiling one takes up to 20 ms.
const MOST_KEPT = 1000
const kept = new Map<string, Pattern>()

/** A regular expression that takes time in proportion to the text, RE2's; throws what is wrong with it. */
export function patternOf(text: string): Pattern {
  const known = kept.get(text)
  if (known) return known
  const compiled = compile(text)
  // It is about to be refused: kept, a thousand of them would take all memory.
  if (compiled.size > LARGEST_PATTERNS) return compiled
  if (kept.size === MOST_KEPT) kept.delete(kept.keys().next().value as string)
  kept.set(text, compiled)
  return compiled
}

function compile(text: string): Pattern {
  if (roughSizeOf(text) > 10 * LARGEST_PATTERNS) return { test: () => false, size: Number.POSITIVE_INFINITY }
  // Both have tables of all of Unicode computed, for up to a second.
  if (/\(\?[imsU-]*i/.test(text) && /[^\0-\x7f]|\\[xupP]/.test(text)) {
    throw new Error('With (?i) a pattern has letters of ASCII only.')
  }
  try {
    const regexp = RE2JS.compile(text, RE2JS.DISABLE_UNICODE_GROUPS)
    return { test: (tested) => regexp.test(tested), size: regexp.re2().prog.numInst() }
  } catch (error) {
    if (!(error instanceof RE2JSSyntaxException)) throw error
    throw new Error(
      `${error.message.slice(0, 160).replace(/^error parsing regexp: /, 'Not a regular expression that can be used: ')}. Look-around, back-references and \\p are not known.`,
    )
  }
}
