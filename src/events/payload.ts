import { wrong } from '../input.ts'
import { Mistake } from '../mistake.ts'

/** How deep arrays and objects of a payload may nest. */
export const MOST_DEPTH = 64

/** Stands in a parsed JSON value for a number that parsing would have altered; `source` is how it was written. */
export class AlteredNumber {
  readonly source: string

  constructor(source: string) {
    this.source = source
  }
}

/**
 * A reviver for `JSON.parse` that puts an `AlteredNumber` where a double cannot hold what was written, such as 2^53+1.
 * Only texts that `mayAlterNumbers` need it: numbers of up to 15 digits and two digits of exponent always survive.
 */
export function reviver(_key: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === 'number' && context?.source !== undefined && isAltered(context.source)
    ? new AlteredNumber(context.source)
    : value
}

export function mayAlterNumbers(json: string): boolean {
  return /[\d.]{16}|\d[eE][+-]?\d{3}/.test(json)
}

/** Whether a number in a JSON text, not in its strings, is one that parsing alters. Takes time in proportion to its length. */
export function hasAlteredNumbers(json: string): boolean {
  let at = 0
  while (at < json.length) {
    const code = json.charCodeAt(at)
    if (code === QUOTE) at = endOfString(json, at + 1)
    else if (code === MINUS || (code >= ZERO && code <= NINE)) {
      const start = at
      while (isOfNumber(json.charCodeAt(at))) at++
      const source = json.slice(start, at)
      if (mayAlterNumbers(source) && isAltered(source)) return true
    } else at++
  }
  return false
}

const [QUOTE, BACKSLASH, MINUS, ZERO, NINE] = [0x22, 0x5c, 0x2d, 0x30, 0x39]

/** Where a string of a JSON text ends that begins before `start`: behind its closing quote. */
export function endOfString(json: string, start: number): number {
  let at = start
  while (at < json.length && json.charCodeAt(at) !== QUOTE) at += json.charCodeAt(at) === BACKSLASH ? 2 : 1
  return at + 1
}

/** A digit, or one of + - . e E. */
function isOfNumber(code: number): boolean {
  return (code >= ZERO && code <= NINE) || [0x2b, MINUS, 0x2e, 0x45, 0x65].includes(code)
}

/** Whether a JSON number, read as a double and written again, is another number. */
export function isAltered(source: string): boolean {
  const number = Number(source)
  return !Number.isFinite(number) || canonical(source) !== canonical(String(number))
}

/** A decimal as its digits and the place of its point: 1.10, 11e-1 and 1.1 are the same. */
function canonical(decimal: string): string {
  const [, sign, whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(decimal) ?? []
  const digits = whole + fraction
  let start = 0
  let end = digits.length
  // By hand: /0+$/ takes time that grows with the square of a row of zeros, minutes for a number of a megabyte.
  while (digits[start] === '0') start++
  while (end > start && digits[end - 1] === '0') end--
  if (start === end) return '0'
  const scale = Number(exponent) - fraction.length + (digits.length - end)
  return `${sign}${digits.slice(start, end)}e${scale}`
}

/**
 * The JSON text that is stored, signed and sent. `payloadJson` is kept byte for byte; `payload` is written as JSON.
 * Throws a `Mistake` whose path starts at `path`, the place of the input the two fields belong to.
 */
export function payloadText(
  input: { payload?: unknown; payloadJson?: string | null },
  path: readonly string[],
  mostBytes: number,
): string {
  const given = input.payloadJson ?? undefined
  if ((given === undefined) === (input.payload === undefined)) {
    throw wrong([...path, 'payload'], 'Give exactly one of payload and payloadJson.')
  }
  const field = given === undefined ? 'payload' : 'payloadJson'
  const text = given ?? writeJson(input.payload, [...path, 'payload'])
  const bytes = Buffer.byteLength(text)
  if (bytes > mostBytes) {
    const message = `The payload has ${bytes} bytes; at most ${mostBytes} are allowed (POSTRIDER_MAX_PAYLOAD_BYTES).`
    throw new Mistake('PAYLOAD_TOO_LARGE', [...path, field], message)
  }
  refuseMalformed(text, [...path, field])
  return text
}

function writeJson(payload: unknown, path: readonly string[]): string {
  // Before anything that walks down by recursion: JSON.stringify has an end of the stack as well.
  if (isDeeperThan(MOST_DEPTH, payload)) throw tooDeep(path)
  const altered = findAltered(payload, [])
  if (altered) {
    throw new Mistake(
      'NUMBER_WOULD_CHANGE',
      [...path, ...altered.path],
      `The number ${altered.source.slice(0, 60)} would change when it is parsed: send it as a string, or send the payload as payloadJson.`,
    )
  }
  return JSON.stringify(payload)
}

/** A JSON value of a document that is kept, such as a schema, as text: its numbers as they were written. */
export function documentText(value: unknown, path: readonly string[]): string {
  if (isDeeperThan(MOST_DEPTH, value)) {
    throw new Mistake('INVALID_INPUT', [...path], `It nests deeper than ${MOST_DEPTH} levels.`)
  }
  return JSON.stringify(value, (_, part) => (part instanceof AlteredNumber ? rawNumber(part.source) : part))
}

/** The largest of 64 bits stands in many a schema, and a double cannot hold it. */
const rawNumber = (source: string) => (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(source)

function findAltered(value: unknown, path: string[]): { path: string[]; source: string } | null {
  if (value instanceof AlteredNumber) return { path, source: value.source }
  if (typeof value !== 'object' || value === null) return null
  for (const [key, member] of Object.entries(value)) {
    const found = findAltered(member, [...path, key])
    if (found) return found
  }
  return null
}

function refuseMalformed(text: string, path: readonly string[]): void {
  if (depthOf(text) > MOST_DEPTH) throw tooDeep(path)
  try {
    JSON.parse(text)
  } catch (error) {
    throw new Mistake(
      'INVALID_PAYLOAD',
      [...path],
      `The payload is not JSON: ${(error as Error).message.slice(0, 200)}`,
    )
  }
  // A lone surrogate cannot be written as UTF-8; escaped, it makes receivers fail.
  if (!text.isWellFormed() || escapesHalfAPair(text)) {
    throw new Mistake(
      'INVALID_PAYLOAD',
      [...path],
      'The payload holds half of a surrogate pair, which is not a character.',
    )
  }
}

const tooDeep = (path: readonly string[]) =>
  new Mistake('INVALID_PAYLOAD', [...path], `The payload nests deeper than ${MOST_DEPTH} levels.`)

function isDeeperThan(levels: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null || value instanceof AlteredNumber) return false
  return levels === 0 || Object.values(value).some((member) => isDeeperThan(levels - 1, member))
}

const WHOLE_ESCAPE = /\\(?:[^u]|u(?!d[89a-f])[\da-f]{4}|ud[89ab][\da-f]{2}\\ud[c-f][\da-f]{2})/gi

/** In the text, not in what it parses to: there the first of two members with one name is gone, and is sent all the same. */
function escapesHalfAPair(json: string): boolean {
  return /\\ud[89a-f]/i.test(json) && json.replace(WHOLE_ESCAPE, '').includes('\\')
}

function depthOf(json: string): number {
  let depth = 0
  let deepest = 0
  let inString = false
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i)
    if (inString) {
      if (code === 0x5c) i++
      else if (code === 0x22) inString = false
    } else if (code === 0x22) inString = true
    else if (code === 0x7b || code === 0x5b) deepest = Math.max(deepest, ++depth)
    else if (code === 0x7d || code === 0x5d) depth--
  }
  return deepest
}
