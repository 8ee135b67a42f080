import type { Ordering } from '../../schema/states.ts'
import { isReservedEventType, validateEventTypeName } from '../event-types/names.ts'
import { type Optional, wrong } from '../input.ts'

/**
 * Patterns of event types: a name (`invoice.paid`), everything below a name (`invoice.*`: any depth, but not `invoice`
 * itself), or `*`.
 */
export const MOST_PATTERNS = 100

/**
 * Whether an endpoint wants events of a type. Null: it wants every type. Events about Postrider itself (`endpoint.*`,
 * `delivery.*`) go only where a pattern names them: neither `*` nor null does, or a consumer who wants everything
 * would be told of every failure to tell him something. To the tenant `operations` they are what it is there for.
 */
export function wants(patterns: readonly string[] | null, eventType: string, inOperations = false): boolean {
  if (inOperations || !isReservedEventType(eventType)) {
    return patterns === null || patterns.some((pattern) => matchesPattern(pattern, eventType))
  }
  return patterns?.some((pattern) => pattern !== '*' && matchesPattern(pattern, eventType)) ?? false
}

export function matchesPattern(pattern: string, eventType: string): boolean {
  if (pattern === '*') return true
  // With its dot: `invoice.*` is not about `invoices.paid`.
  return pattern.endsWith('.*') ? eventType.startsWith(pattern.slice(0, -1)) : eventType === pattern
}

/** All patterns that match a type: `a.b.c` is asked for as itself, `a.b.*`, `a.*` and `*`. */
export function patternsOf(eventType: string): string[] {
  const words = eventType.split('.')
  return [eventType, '*', ...words.slice(1).map((_, index) => `${words.slice(0, index + 1).join('.')}.*`)]
}

/** The lane of an event at an endpoint: empty for the one of the whole endpoint, null where it goes in no order. */
export function laneOf(ordering: Ordering, orderingKey: string | null): string | null {
  if (ordering === 'NONE') return null
  return ordering === 'PER_ENDPOINT' ? '' : orderingKey
}

/** The patterns without repetitions; throws a `Mistake` that names the first one that is none. */
export function readPatterns(patterns: Optional<readonly string[]>, path: readonly string[]): string[] | null {
  if (patterns === null || patterns === undefined) return null
  if (patterns.length === 0 || patterns.length > MOST_PATTERNS) {
    const message = `Give 1 to ${MOST_PATTERNS} event types, or leave the list out; this one has ${patterns.length}.`
    throw wrong(path, message)
  }
  patterns.forEach((pattern, index) => {
    const fault = pattern === '*' ? null : validateEventTypeName(pattern.replace(/\.\*$/, ''))
    if (fault === null) return
    const message = `${fault} Wildcards: "invoice.*" is every type below "invoice", "*" every type.`
    throw wrong([...path, String(index)], message)
  })
  return [...new Set(patterns)]
}
