import { _, Ajv2020, type ErrorObject, type KeywordCxt } from 'ajv/dist/2020.js'
import { fullFormats } from 'ajv-formats/dist/formats.js'
import type { SchemaFault } from '../../schema/tables/events.ts'
import { canonical } from './canonical.ts'
import { foreignDialect, MOST_PROBLEMS, problemsOf, type SchemaProblem } from './check-schema.ts'
import { compilePattern } from './pattern.ts'
import { everySchema, holdsSchemas, isObject, type Schema, type SchemaObject } from './schema-walk.ts'

/** Says where a parsed payload does not satisfy a schema: nothing when it does, at most ten faults when it does not. */
export type Validator = (payload: unknown) => SchemaFault[]

export const MOST_FAULTS = 10

/**
 * How much judging one payload may cost, in steps of 10 to 160 ns: schemas that are tried, characters and members that are
 * looked at. References let a few lines of schema branch without end; a thread that others wait for must get back.
 */
const MOST_STEPS = 300_000
/** Of a payload that is known to be wrong, to find out what else is wrong with it. */
const MOST_STEPS_FOR_MORE = 20_000
// That takes a second compilation, of a tenth of a second at this size.
const MOST_SCHEMAS_TWICE = 200
// ajv-formats has expressions that go back over what they have read. No address, time or identifier is longer.
const LONGEST_FORMATTED = 4_096
const UNBOUNDED_FORMATS = ['byte', 'binary', 'password']

const TOO_COSTLY: SchemaFault = {
  path: '',
  rule: 'limit',
  message: `judging the payload by its schema takes more than ${MOST_STEPS} steps`,
}

class OutOfSteps extends Error {}
const outOfSteps = new OutOfSteps()
// Judging is synchronous: there is one at a time.
let stepsLeft = 0

function spend(steps: number): void {
  stepsLeft -= steps
  if (stepsLeft < 0) throw outOfSteps
}

/** Of a schema that looks at all of a text, or at every member of an object. */
function spendOn(steps: number, value: unknown): void {
  if (typeof value === 'string') spend(steps + value.length / 8)
  else if (typeof value === 'object' && value !== null && !Array.isArray(value))
    spend(steps + 4 * Object.keys(value).length)
  else spend(steps)
}

const SCANS = [
  'minLength',
  'maxLength',
  'minProperties',
  'maxProperties',
  'additionalProperties',
  'unevaluatedProperties',
  'patternProperties',
  'propertyNames',
  'dependentRequired',
]

const STEPS = 'postrider-steps'
type Steps = { steps: number; scans: boolean }

/** For one schema: whatever it has compiled, an instance keeps for as long as it lives. */
function createAjv(allErrors: boolean): Ajv2020 {
  const ajv = new Ajv2020({
    allErrors,
    strict: false,
    logger: false,
    // Checked once, when it is saved.
    validateSchema: false,
    meta: false,
    // What a reference leads to is a function of its own: inlined, references to references grow without end.
    inlineRefs: false,
    ownProperties: true,
    // Its optimizer takes time that grows with the square: 27 s instead of a half for a thousand branches.
    code: { optimize: false, regExp: Object.assign(countedPattern, { code: 'countedPattern' }) },
  })
  ajv.addKeyword({
    keyword: STEPS,
    before: '$ref',
    code({ gen, data, schema }: KeywordCxt) {
      const { steps, scans } = schema as Steps
      if (scans) gen.code(_`${gen.scopeValue('func', { ref: spendOn })}(${steps}, ${data})`)
      else gen.code(_`${gen.scopeValue('func', { ref: spend })}(${steps})`)
    },
  })
  // ajv compares each item with each: 256 KiB of empty lists would take a minute.
  ajv.removeKeyword('uniqueItems')
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    validate: (unique: boolean, items: unknown[]) => !unique || areUnique(items),
    error: { message: 'must NOT have duplicate items' },
  })
  for (const [name, format] of Object.entries(fullFormats)) ajv.addFormat(name, boundedFormat(name, format))
  return ajv
}

function countedPattern(source: string) {
  const { test, size } = compilePattern(source)
  return {
    // By this text ajv tells one from another.
    toString: () => source,
    test(text: string) {
      spend((text.length * size) / 2)
      return test(text)
    },
  }
}

type Format = (typeof fullFormats)[keyof typeof fullFormats]

function boundedFormat(name: string, format: Format): Format {
  const judge = typeof format === 'object' && 'validate' in format ? format.validate : format
  if (UNBOUNDED_FORMATS.includes(name) || (format as { type?: string }).type === 'number') return format
  return (text: string) => {
    if (text.length > LONGEST_FORMATTED) return false
    spend(text.length ** 2 / 64)
    return judge instanceof RegExp ? judge.test(text) : (judge as (text: string) => boolean)(text)
  }
}

function areUnique(items: readonly unknown[]): boolean {
  const seen = new Set<string>()
  for (const item of items) {
    const text = canonical(item)
    spend(8 + text.length)
    if (seen.has(text)) return false
    seen.add(text)
  }
  return true
}

const meta = new Ajv2020({ strict: false, logger: false, allErrors: true })

/** Compiles a schema, or says what keeps it from being used: at most five problems. */
export function tryToCompile(text: string): Validator | SchemaProblem[] {
  const schema: unknown = JSON.parse(text)
  const dialect = isObject(schema) ? foreignDialect(schema) : null
  if (dialect !== null) return [{ pointer: '/$schema', message: dialect }]
  try {
    if (meta.validateSchema(schema as SchemaObject)) {
      const problems = problemsOf(schema as Schema)
      return problems.length === 0 ? compileSchema(text) : problems
    }
  } catch (error) {
    return [{ pointer: '', message: whyNot(error) }]
  }
  const problems = (meta.errors ?? []).map(faultOf).map(({ path, message }) => ({ pointer: path, message }))
  // A thing that is none of several is said to be none of each, too: the first of them is what was most likely meant.
  const first = new Map(problems.reverse().map((problem) => [problem.pointer, problem]))
  return [...first.values()].reverse().slice(0, MOST_PROBLEMS)
}

/** A chain of a thousand references, each to the next, is beyond the stack of the compiler. */
function whyNot(error: unknown): string {
  return error instanceof RangeError
    ? 'its references nest too deeply'
    : `it cannot be used: ${(error as Error).message}`
}

/** Makes the function that judges payloads by a schema without problems. What compiling costs is spent here. */
export function compileSchema(text: string): Validator {
  const isValid = compileWith(createAjv(false), text)
  const isLarge = countSchemas(text) > MOST_SCHEMAS_TWICE
  let allOf: typeof isValid | null = null
  return (payload) => {
    const first = judge(isValid, payload, MOST_STEPS)
    if (first === null) return [TOO_COSTLY]
    if (first.length === 0 || isLarge) return first.slice(0, MOST_FAULTS)
    // Rarely needed: most payloads satisfy their schema.
    allOf ??= compileWith(createAjv(true), text)
    return (judge(allOf, payload, MOST_STEPS_FOR_MORE) ?? first).slice(0, MOST_FAULTS)
  }
}

function countSchemas(text: string): number {
  let count = 0
  everySchema(JSON.parse(text), () => count++)
  return count
}

function compileWith(ajv: Ajv2020, text: string) {
  return ajv.compile(counted(JSON.parse(text)) as SchemaObject)
}

/** The schema, with a keyword in each of its schemas that counts what judging costs. */
function counted(root: Schema): Schema {
  const every: SchemaObject[] = []
  everySchema(root, (schema) => every.push(schema))
  for (const schema of every) {
    const steps: Steps = { steps: costOf(schema), scans: SCANS.some((keyword) => keyword in schema) }
    const writable = schema as Record<string, unknown>
    // References are looked up below it, and all of them begin with "#".
    delete writable.$id
    delete writable.$schema
    writable[STEPS] = steps
  }
  return root
}

/** Names that are required and values that are allowed are gone through one by one. */
function costOf(schema: SchemaObject): number {
  const own = Object.entries(schema).map(([keyword, value]) => {
    if (!holdsSchemas(keyword)) return JSON.stringify(value).length
    return typeof value === 'object' && value !== null ? Object.keys(value).length * 8 : 0
  })
  return 1 + Math.floor(own.reduce((sum, length) => sum + length, 0) / 8)
}

/** The faults; null when it costs more than it may. */
function judge(isValid: ReturnType<typeof compileWith>, payload: unknown, steps: number): SchemaFault[] | null {
  stepsLeft = steps
  try {
    if (isValid(payload)) return []
    const faults = (isValid.errors ?? []).slice(0, 10 * MOST_FAULTS).map(faultOf)
    return [...new Map(faults.map((fault) => [`${fault.path} ${fault.rule} ${fault.message}`, fault])).values()]
  } catch (error) {
    // Of a payload of 64 levels, judged by a schema that goes around at each of them.
    if (error === outOfSteps || error instanceof RangeError) return null
    throw error
  } finally {
    isValid.errors = null
  }
}

function faultOf({ instancePath, keyword, message = '', params }: ErrorObject): SchemaFault {
  return { path: shorten(instancePath), rule: keyword, message: shorten(`${message}${detailOf(keyword, params)}`) }
}

function detailOf(keyword: string, params: Record<string, unknown>): string {
  const named = params.additionalProperty ?? params.unevaluatedProperty ?? params.propertyName
  if (typeof named === 'string') return `: ${JSON.stringify(named)}`
  if (keyword === 'enum') return `: ${JSON.stringify(params.allowedValues)}`
  return keyword === 'const' ? `: ${JSON.stringify(params.allowedValue)}` : ''
}

/** Names of members may be as long as the payload, and hold what Postgres cannot. */
function shorten(text: string): string {
  const short = text.length > 300 ? `${text.slice(0, 299)}…` : text
  return short.replaceAll('\0', '\uFFFD').toWellFormed()
}
