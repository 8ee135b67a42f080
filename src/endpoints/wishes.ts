import type { StoredVersions } from '../../schema/tables/endpoints.ts'
import { validateEventTypeName } from '../event-types/names.ts'
import { NUL, readText, wrong } from '../input.ts'
import { readEach } from '../mistake.ts'

/** The one version of an event type that an endpoint can read. */
export type PinInput = { eventType: string; version: string }

const MOST_LISTENED = 100
const MOST_PINS = 100
const VERSION = { what: 'A version', least: 1, most: 64, ...NUL } as const
const CHANNEL = /^[A-Za-z0-9_.:-]{1,128}$/

/** Refuses what cannot be the name of a channel. */
export function checkChannel(name: string, path: readonly string[]): void {
  if (CHANNEL.test(name)) return
  throw wrong(path, 'A channel has 1 to 128 letters, digits, "_", ".", ":" or "-".')
}

/** The channels that an endpoint listens to, without repetitions. */
export function readListened(names: readonly string[], path: readonly string[]): string[] {
  refuseLength(names, MOST_LISTENED, 'channels', path)
  readEach(names, (name, index) => checkChannel(name, [...path, String(index)]))
  return [...new Set(names)]
}

/** The versions that an endpoint can read, by event type. */
export function readPins(pins: readonly PinInput[], path: readonly string[]): StoredVersions {
  refuseLength(pins, MOST_PINS, 'versions', path)
  const versions = new Map<string, string>()
  readEach(pins, ({ eventType, version }, index) => {
    const at = [...path, String(index)]
    const fault = validateEventTypeName(eventType)
    if (fault !== null) throw wrong([...at, 'eventType'], fault)
    if (versions.has(eventType)) {
      throw wrong([...at, 'eventType'], `${eventType} is pinned to a version before in this list.`)
    }
    versions.set(eventType, readText(version, [...at, 'version'], VERSION))
  })
  return Object.fromEntries(versions)
}

function refuseLength(list: readonly unknown[], most: number, what: string, path: readonly string[]): void {
  if (list.length > 0 && list.length <= most) return
  const message = `Give 1 to ${most} ${what}, or leave the list out; this one has ${list.length}.`
  throw wrong(path, message)
}
