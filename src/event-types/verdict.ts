import type { Validation } from '../../schema/states.ts'
import type { SchemaFault } from '../../schema/tables/events.ts'
import { Mistake, toOne } from '../mistake.ts'

/** What the catalogue knows of a type. */
export type KnownType = {
  name: string
  validation: Validation
  isDeprecated: boolean
  replacement: string | null
  isArchived: boolean
  /** Its versions, newest last. */
  versions: readonly string[]
}

export const WARNING_CODES = [
  'UNKNOWN_EVENT_TYPE',
  'UNKNOWN_VERSION',
  'DEPRECATED_EVENT_TYPE',
  'SCHEMA_VIOLATION',
] as const
export type WarningCode = (typeof WARNING_CODES)[number]
export type PublishWarning = { code: WarningCode; message: string }

/** What is made of an event: refused with the place in it, or accepted, perhaps with something to tell. */
export type Verdict = { refusal: Mistake | null; warnings: PublishWarning[]; faults: SchemaFault[] }

export type Question = {
  event: { type: string; version: string | null }
  /** What the catalogue has under this name; null for nothing. */
  type: KnownType | null
  refusesUnknown: boolean
  /** Whether there is a catalogue at all: where nothing is in it, nothing is missing from it. */
  isEmpty: boolean
  /** The name or version that may have been meant. */
  suggest(): string | null
}

export const ACCEPTED: Verdict = { refusal: null, warnings: [], faults: [] }

/** What can be said before the payload is looked at, and which version's schema it is then judged by; null: by none. */
export function verdictOnName({
  event,
  type,
  refusesUnknown,
  isEmpty,
  suggest,
}: Question): Verdict & { version: string | null } {
  if (type === null || type.isArchived) {
    if (isEmpty && !refusesUnknown) return { ...ACCEPTED, version: null }
    const what = type === null ? 'is not in the catalogue' : 'is archived'
    const message = `The event type "${event.type}" ${what}.${didYouMean(suggest())}`
    if (!refusesUnknown) return { ...ACCEPTED, warnings: [{ code: 'UNKNOWN_EVENT_TYPE', message }], version: null }
    return { ...ACCEPTED, refusal: new Mistake('UNKNOWN_EVENT_TYPE', ['type'], message), version: null }
  }
  const warnings = type.isDeprecated ? [deprecation(type)] : []
  if (type.validation === 'OFF' || type.versions.length === 0) return { ...ACCEPTED, warnings, version: null }
  const version = event.version ?? (type.versions.at(-1) as string)
  if (type.versions.includes(version)) return { ...ACCEPTED, warnings, version }
  const message = `"${type.name}" has no version ${JSON.stringify(version)}.${didYouMean(suggest())} Its newest is ${JSON.stringify(type.versions.at(-1))}.`
  if (type.validation === 'WARN') {
    return { ...ACCEPTED, warnings: [...warnings, { code: 'UNKNOWN_VERSION', message }], version: null }
  }
  return { ...ACCEPTED, refusal: new Mistake('UNKNOWN_EVENT_TYPE', ['version'], message), version: null }
}

const didYouMean = (name: string | null) => (name === null ? '' : ` Did you mean ${JSON.stringify(name)}?`)

function deprecation({ name, replacement }: KnownType): PublishWarning {
  const message = `The event type "${name}" is deprecated${replacement === null ? '.' : `: use "${replacement}".`}`
  return { code: 'DEPRECATED_EVENT_TYPE', message }
}

// As many as an answer may hold.
const MOST_TOLD = 5

/** The same with what its schema says of the payload. */
export function verdictOnPayload(
  known: Verdict,
  { name, validation }: KnownType,
  version: string,
  faults: SchemaFault[],
): Verdict {
  if (faults.length === 0) return known
  const told = faults.map((fault) => ({ fault, message: wordingOf(fault, name, version) }))
  if (validation === 'REJECT') {
    const mistakes = told
      .slice(0, MOST_TOLD)
      .map(({ fault, message }) => new Mistake('SCHEMA_VIOLATION', ['payload', ...segmentsOf(fault.path)], message))
    return { ...known, refusal: toOne(mistakes as [Mistake, ...Mistake[]]) }
  }
  const warnings = told.slice(0, MOST_TOLD - known.warnings.length).map(({ message }) => message)
  return {
    ...known,
    faults,
    warnings: [...known.warnings, ...warnings.map((message) => ({ code: 'SCHEMA_VIOLATION', message }) as const)],
  }
}

function wordingOf({ path, rule, message }: SchemaFault, name: string, version: string): string {
  const where = path === '' ? 'The payload' : path
  return `${where} ${message} (rule "${rule}" of ${name}, version ${JSON.stringify(version)}).`
}

function segmentsOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'))
}
