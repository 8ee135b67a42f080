import { type CelResult, celList, isCelError, parse, plan } from '@bufbuild/cel'
import { Mistake } from '../mistake.ts'
import { Unfit } from './filter-calls.ts'
import { checkExpression } from './filter-check.ts'
import { counted, METERED, MOST_STEPS, MOST_STEPS_OF_AN_EVENT, meter, spend, TooManySteps } from './filter-meter.ts'
import { LARGEST_PATTERNS, patternOf } from './filter-patterns.ts'
import { conditionsOf, depthOf, excerpt, type Part, placeOf } from './filter-text.ts'
import { seen } from './filter-values.ts'
import { faultOf } from './filter-words.ts'

export const LONGEST_FILTER = 4096
const DEEPEST = 32

/** What a filter is about. The payload is parsed for the first filter that asks for it. */
export type Subject = {
  type: string
  version: string | null
  channels: readonly string[]
  tenant: string
  payload: () => unknown
}

/** Whether a filter holds, or why it could not be told; and what it took. */
export type Verdict = { holds: boolean; fault: string | null; steps: number }

const TOO_MANY_BEFORE: Verdict = {
  holds: false,
  fault: `Other filters have taken ${MOST_STEPS_OF_AN_EVENT} steps for this event, which is the most.`,
  steps: 0,
}

/** Reading a filter takes far more than evaluating it, up to 40 µs for each character: of one tenant all must be kept. */
const MOST_CHARACTERS_OF_AN_EVENT = 500_000
const TOO_LONG_BEFORE: Verdict = {
  holds: false,
  fault: `The filters asked for this event have more than ${MOST_CHARACTERS_OF_AN_EVENT} characters, which is the most.`,
  steps: 0,
}

type Filter = (bindings: Bindings) => Verdict
type Bindings = Record<string, never>

/** Why a text is no filter, and where. */
class NoFilter extends Error {
  readonly offset: number

  constructor(message: string, offset: number) {
    super(message)
    this.offset = offset
  }
}

/** The filter as it is saved; throws a `Mistake` that says what is wrong with it, and where. */
export function checkFilter(text: string, path: readonly string[]): string {
  try {
    compile(text)
    return text
  } catch (error) {
    if (!(error instanceof NoFilter)) throw error
    const { line, column } = placeOf(text, error.offset)
    const shown = `Line ${line}, column ${column}: ${error.message}\n${excerpt(text, error.offset)}`
    throw new Mistake('INVALID_FILTER', [...path], shown)
  }
}

/** An event for its filters. Each text is evaluated once, however many endpoints have it. */
export function createEvaluation(subject: Subject): { verdict(filter: string): Verdict; steps(): number } {
  const bindings = bindingsOf(subject)
  const verdicts = new Map<string, Verdict>()
  let steps = 0
  let length = 0
  return {
    verdict(text) {
      const known = verdicts.get(text)
      if (known) return known
      length += text.length
      if (length > MOST_CHARACTERS_OF_AN_EVENT) return TOO_LONG_BEFORE
      const verdict = steps < MOST_STEPS_OF_AN_EVENT ? evaluate(text, bindings) : TOO_MANY_BEFORE
      verdicts.set(text, verdict)
      steps += verdict.steps
      return verdict
    },
    steps: () => steps,
  }
}

/** Of a filter that does not hold: the first of its conditions that does not, or cannot be told; the whole where it is none of them. */
export function conditionAtFault(text: string, subject: Subject): Part & { steps: number } {
  const whole = { text, offset: 0 }
  const parts = conditionsOf(whole)
  if (parts.length < 2) return { ...(parts[0] ?? whole), steps: 0 }
  const bindings = bindingsOf(subject)
  let faulty: Part | null = null
  let steps = 0
  for (const part of parts) {
    const { holds, fault, steps: taken } = evaluate(part.text, bindings, compile)
    steps += taken
    if (!holds && fault === null) return { ...part, steps }
    if (fault !== null) faulty ??= part
    if (steps > MOST_STEPS) break
  }
  return { ...(faulty ?? whole), steps }
}

function evaluate(text: string, bindings: Bindings, read: (text: string) => Filter = filterOf): Verdict {
  try {
    return read(text)(bindings)
  } catch (error) {
    // Saved by a version that knew more, or less.
    if (error instanceof NoFilter)
      return { holds: false, fault: `It can no longer be read: ${error.message}`, steps: 0 }
    throw error
  }
}

function bindingsOf({ payload, channels, type, version, tenant }: Subject): Bindings {
  const bindings = Object.assign(Object.create(null), { type, version, tenant, channels: celList([...channels]) })
  let value: unknown
  const get = () => {
    value ??= { payload: seen(payload() as never) }
    return (value as { payload: unknown }).payload
  }
  return Object.defineProperty(bindings, 'payload', { get })
}

// By the length of their texts, which says how large they are: of some 60 characters, 15,000.
const MOST_CHARACTERS = 1_000_000
const kept = new Map<string, Filter>()
let characters = 0

function filterOf(text: string): Filter {
  const known = kept.get(text)
  if (known) {
    // The one that was not asked for the longest makes room.
    kept.delete(text)
    kept.set(text, known)
    return known
  }
  const filter = compile(text)
  for (const [oldest] of kept) {
    if (characters + text.length <= MOST_CHARACTERS) break
    kept.delete(oldest)
    characters -= oldest.length
  }
  kept.set(text, filter)
  characters += text.length
  return filter
}

function compile(text: string): Filter {
  const { expr, positions } = read(text)
  const at = (id: bigint) => positions[String(id)] ?? 0
  let patterns = 0
  try {
    checkExpression(expr, (pattern) => {
      patterns += patternOf(pattern).size
      if (patterns > LARGEST_PATTERNS) {
        throw new Error(
          `The regular expressions of a filter have at most ${LARGEST_PATTERNS} parts; {n} makes n of one.`,
        )
      }
    })
  } catch (error) {
    if (error instanceof Unfit) throw new NoFilter(error.message, at(error.at.id))
    throw error
  }
  const parts = meter(expr)
  const run = plan(METERED, expr)
  return (bindings) => {
    const { result, steps } = withoutStacks(() =>
      counted(() => {
        spend(parts)
        return run(bindings)
      }),
    )
    return { ...judge(text, result, at), steps }
  }
}

function read(text: string) {
  if (text.trim() === '')
    throw new NoFilter('A filter is an expression; this is empty. Leave it out, or null, for none.', 0)
  if (text.length > LONGEST_FILTER) {
    throw new NoFilter(
      `A filter has at most ${LONGEST_FILTER} characters; this one has ${text.length}.`,
      LONGEST_FILTER,
    )
  }
  // Postgres text cannot hold U+0000, and a lone surrogate would silently become U+FFFD.
  if (text.includes('\0') || !text.isWellFormed()) throw new NoFilter('A filter is valid Unicode without U+0000.', 0)
  // The parser takes time with the square of such a run: half a second for 4,000.
  const run = text.search(/\s{65}/)
  if (run !== -1) throw new NoFilter('At most 64 spaces and line breaks stand in a row.', run)
  if (depthOf(text) > DEEPEST) throw new NoFilter(`Brackets nest at most ${DEEPEST} deep.`, 0)
  try {
    // A comment ends with its line, and the parser wants to see that.
    const { expr, sourceInfo } = parse(`${text}\n`)
    return { expr, positions: (sourceInfo?.positions ?? {}) as Record<string, number> }
  } catch (error) {
    if (error instanceof RangeError) throw new NoFilter('It nests too deeply.', 0)
    const { location, found } = error as { location?: { start: { offset: number } }; found?: string | null }
    const offset = location?.start.offset ?? 0
    if (found === null) throw new NoFilter('It ends where more is expected.', offset)
    throw new NoFilter(unexpectedAt(text, offset, found ?? ''), offset)
  }
}

// How other languages write it.
const SPELLING: Record<string, string> = {
  '=': ' Equality is "==".',
  and: ' "and" is "&&".',
  or: ' "or" is "||".',
}

/** The parser gives one character: people look for the word. */
function unexpectedAt(text: string, offset: number, found: string): string {
  const word = /^\w+/.exec(text.slice(offset))?.[0].slice(0, 40) ?? found
  const not = /(^|\W)not\s+$/.test(text.slice(0, offset)) ? ' "not" is "!".' : ''
  return `${JSON.stringify(word)} is not expected here.${SPELLING[word.toLowerCase()] ?? not}`
}

/** A fault in each round of a loop would cost as much as the whole evaluation: most of what an error takes is its stack. */
function withoutStacks<Result>(run: () => Result): Result {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return run()
  } finally {
    Error.stackTraceLimit = limit
  }
}

function judge(text: string, result: CelResult, at: (id: bigint) => number): Omit<Verdict, 'steps'> {
  if (typeof result === 'boolean') return { holds: result, fault: null }
  if (!isCelError(result)) return { holds: false, fault: 'It is not true or false for this event.' }
  if (result.cause instanceof TooManySteps) return { holds: false, fault: result.cause.message }
  return { holds: false, fault: faultOf(text, result, at) }
}
