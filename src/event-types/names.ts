import { wrong } from '../input.ts'
import { Mistake } from '../mistake.ts'

const NAME = /^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$/
export const LONGEST_NAME = 128

/** What is wrong with an event type's name, or null when it is one: dotted words like `invoice.paid`. */
export function validateEventTypeName(name: string): string | null {
  if (name.length > LONGEST_NAME)
    return `An event type has at most ${LONGEST_NAME} characters; this one has ${name.length}.`
  if (NAME.test(name)) return null
  return `${JSON.stringify(name)} is not an event type: letters, digits and "_" in words joined by single dots, like "invoice.paid".`
}

/** Throws a `Mistake` for what producers may not publish: INVALID_INPUT or RESERVED_EVENT_TYPE. */
export function checkPublishable(type: string, path: readonly string[]): void {
  const fault = validateEventTypeName(type)
  if (fault !== null) throw wrong(path, fault)
  if (!isReservedEventType(type)) return
  const message = `"${type}" is reserved: Postrider itself publishes endpoint.* and delivery.*.`
  throw new Mistake('RESERVED_EVENT_TYPE', [...path], message)
}

/** `endpoint.*` and `delivery.*` are published by Postrider itself, about itself. */
export function isReservedEventType(name: string): boolean {
  return name.startsWith('endpoint.') || name.startsWith('delivery.')
}
