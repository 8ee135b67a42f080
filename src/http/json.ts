import { hasAlteredNumbers, mayAlterNumbers, reviver } from '../events/payload.ts'
import { SIZES } from './limits.ts'

/**
 * Parses JSON; numbers that parsing alters become an `AlteredNumber`. In a long text they do not: then `isAltered` is true, and
 * the value must not be used. Throws where it is no JSON.
 */
export function parseExactly(text: string): { value: unknown; isAltered: boolean } {
  const value: unknown = JSON.parse(text)
  if (!mayAlterNumbers(text) || !hasAlteredNumbers(text)) return { value, isAltered: false }
  if (text.length > SIZES.alterable) return { value, isAltered: true }
  return { value: JSON.parse(text, reviver), isAltered: false }
}

/** What to say of a text whose numbers were altered. */
export const ALTERED =
  'holds a number that would change when it is parsed, such as 12345678901234567: send it as a string, or send the payload as payloadJson.'
