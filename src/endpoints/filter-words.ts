import type { CelError } from '@bufbuild/cel'
import { OPERATORS } from './filter-language.ts'
import { placeOf } from './filter-text.ts'

/** What went wrong with a filter for an event, and where. Without what is in the payload: that may be expunged. */
export function faultOf(text: string, { message, exprId }: CelError, at: (id: bigint) => number): string {
  const { line, column } = placeOf(text, exprId === undefined ? 0 : at(exprId))
  return `Line ${line}, column ${column}: ${inWords(text, message)}`
}

const KINDS: Record<string, string> = {
  bool: 'true or false',
  string: 'a text',
  int: 'a whole number',
  uint: 'a whole number',
  double: 'a number',
  null_type: 'null',
  list: 'a list',
  map: 'an object',
  'google.protobuf.Timestamp': 'a time',
  'google.protobuf.Duration': 'a duration',
}

function inWords(text: string, message: string): string {
  const [, field] = /^field not found: (.*)$/s.exec(message) ?? []
  if (field !== undefined) {
    // A name that was computed comes from the payload.
    return text.includes(field) && field !== '' ? `there is no field "${field}".` : 'there is no such field.'
  }
  if (/^index .* out of bounds/.test(message)) return 'the list has no such entry.'
  const [, name, given] = /^found no matching overload for '(.*?)' applied to '(.*)'$/s.exec(message) ?? []
  if (name !== undefined && given !== undefined) {
    const kinds = [...given.matchAll(/[A-Za-z_][\w.]*/g)].flatMap(([word]) => KINDS[word] ?? [])
    return `"${OPERATORS[name] ?? name}" is not for ${kinds.length > 0 ? kinds.join(' and ') : 'what is there'}.`
  }
  if (/^type mismatch: expected bool/.test(message)) return 'this is not true or false.'
  if (/^type mismatch: iterable/.test(message)) return 'this is no list.'
  if (/divide by zero|modulus by zero/.test(message)) return 'this divides by zero.'
  if (/overflow/.test(message)) return 'the number is too large.'
  return 'the value cannot be read as that.'
}
