import { RE2JS } from '@bufbuild/re2'
import { roughSizeOf } from './pattern-size.ts'

/** A regular expression of a schema, on an engine whose time grows with the text and never with its square or worse. */
export type Pattern = {
  test(text: string): boolean /** Instructions of its program: what each character may cost. */
  size: number
}

// What a character of a text may cost grows with the program: 93 ns for each instruction in the worst case measured.
export const LARGEST_PATTERN = 2_000

/**
 * Compiles a pattern as it is understood in JSON Schema: found anywhere in the text. What the engine has not is refused by an
 * `Error` that says so: look-around and back references, and more than 1,000 repetitions.
 */
export function compilePattern(source: string): Pattern {
  const rough = roughSizeOf(source)
  if (rough > 10 * LARGEST_PATTERN) throw tooLarge(rough)
  // ECMAScript writes a code point as \u0041 or \u{1F600}, RE2 as \x{41}.
  const re2 = new RE2JS(source.replace(/(\\+)u(?:\{([\da-fA-F]+)\}|([\da-fA-F]{4}))/g, toRe2Escape))
  const size = re2.re2().prog.numInst()
  if (size > LARGEST_PATTERN) throw tooLarge(size)
  return { test: (text) => re2.test(text), size }
}

const tooLarge = (size: number) =>
  new Error(`it comes to ${size} steps, and at most ${LARGEST_PATTERN} are allowed: repeat less`)

function toRe2Escape(whole: string, slashes: string, braced: string | undefined, four: string | undefined): string {
  // After an even number of them the "u" is a letter like any other.
  return slashes.length % 2 === 0 ? whole : `${slashes}x{${braced ?? four}}`
}
