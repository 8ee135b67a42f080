import { VALIDATIONS, type Validation } from '../../schema/states.ts'
import { type Optional, wrong } from '../input.ts'
import { Mistake, readAll, toOne } from '../mistake.ts'
import { tryToCompile, type Validator } from './compile.ts'
import { isReservedEventType, validateEventTypeName } from './names.ts'
import { isSchema } from './schema-walk.ts'

/** An event type as somebody wants it saved: absent is unchanged, null back to the default. */
export type EventTypeSettings = {
  name: string
  description?: Optional<string>
  group?: Optional<string>
  validation?: Optional<Validation>
  deprecated?: Optional<boolean>
  replacement?: Optional<string>
  version?: Optional<VersionSettings>
}

/** `schema` and `example` are JSON text. */
export type VersionSettings = { version: string; schema: string; example: string }

export type CheckedVersion = VersionSettings
export type CheckedType = Omit<EventTypeSettings, 'version'> & { version: CheckedVersion | null }

export const LARGEST_SCHEMA_BYTES = 65_536
export const LARGEST_EXAMPLE_BYTES = 65_536

/** Everything about it that can be judged without knowing the one before. */
export function readEventType(input: EventTypeSettings, path: readonly string[]): CheckedType {
  const { version } = readAll({
    name: () => checkName(input.name, [...path, 'name']),
    description: () => checkText(input.description, 2_000, [...path, 'description']),
    group: () => checkText(input.group, 100, [...path, 'group']),
    validation: () => checkValidation(input.validation, [...path, 'validation']),
    replacement: () => checkReplacement(input, [...path, 'replacement']),
    version: () => (input.version ? readVersion(input.version, [...path, 'version']) : null),
  })
  return { ...input, version }
}

function checkName(name: string, path: readonly string[]): void {
  const fault = validateEventTypeName(name)
  if (fault !== null) throw wrong(path, fault)
  if (!isReservedEventType(name)) return
  const message = `"${name}" is reserved: Postrider itself publishes endpoint.* and delivery.*, and describes them.`
  throw new Mistake('RESERVED_EVENT_TYPE', [...path], message)
}

function checkText(text: Optional<string>, most: number, path: readonly string[]): void {
  if (text === null || text === undefined) return
  if (text.length > 0 && text.length <= most && !text.includes('\0') && text.isWellFormed()) return
  throw wrong(path, `Must be 1 to ${most} characters of valid Unicode without U+0000.`)
}

function checkValidation(validation: Optional<Validation>, path: readonly string[]): void {
  if (validation === null || validation === undefined || VALIDATIONS.includes(validation)) return
  throw wrong(path, `Must be one of ${VALIDATIONS.join(', ')}.`)
}

function checkReplacement({ name, deprecated, replacement }: EventTypeSettings, path: readonly string[]): void {
  if (replacement === null || replacement === undefined) return
  const fault = validateEventTypeName(replacement)
  if (fault !== null) throw wrong(path, fault)
  if (replacement === name) throw wrong(path, 'A type is no replacement for itself.')
  if (deprecated) return
  throw wrong([...path], 'Only a deprecated type has a replacement: say deprecated: true with it.')
}

function readVersion(given: VersionSettings, path: readonly string[]): CheckedVersion {
  readAll({
    version: () => checkText(given.version, 64, [...path, 'version']),
    example: () => checkSize(given.example, LARGEST_EXAMPLE_BYTES, [...path, 'example']),
    schema: () => checkSize(given.schema, LARGEST_SCHEMA_BYTES, [...path, 'schema']),
  })
  const validate = compiled(given.schema, [...path, 'schema'])
  checkExample(validate, given.example, [...path, 'example'])
  return given
}

function checkSize(text: string, most: number, path: readonly string[]): void {
  const bytes = Buffer.byteLength(text)
  if (bytes <= most) return
  throw wrong(path, `It has ${bytes} bytes as JSON; at most ${most} are allowed.`)
}

function compiled(text: string, path: readonly string[]): Validator {
  if (!isSchema(JSON.parse(text))) {
    throw wrong(path, 'A JSON Schema is an object, or true or false.')
  }
  const result = tryToCompile(text)
  if (typeof result === 'function') return result
  const mistakes = result.map(({ pointer, message }) => {
    const where = pointer === '' ? 'The schema' : `The schema at ${pointer}`
    return wrong(path, `${where}: ${message}.`)
  })
  throw toOne(mistakes as [Mistake, ...Mistake[]])
}

function checkExample(validate: Validator, example: string, path: readonly string[]): void {
  const [fault] = validate(JSON.parse(example))
  if (fault === undefined) return
  const where = fault.path === '' ? 'The example' : `The example at ${fault.path}`
  const message = `${where} does not satisfy the schema: ${fault.message} (rule "${fault.rule}").`
  throw wrong(path, message)
}
