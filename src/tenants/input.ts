import { SYSTEM } from '../audit/actor.ts'
import { readText, wrong } from '../input.ts'

const TENANT_KEY = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$/
// Names stand in logs, terminals and lists: what cannot be seen, or turns what follows around, makes one look like another.
const UNSEEN = { without: /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u, inWords: 'line breaks, control or invisible characters' }
const NAME = { what: 'A name', least: 1, most: 200, ...UNSEEN } as const

/** The key of a new tenant. Mistakes: INVALID_INPUT. */
export function readTenantKey(key: string, path: readonly string[]): string {
  if (TENANT_KEY.test(key)) return key
  const message =
    'The key of a tenant has 1 to 64 letters, digits, "_", ".", ":" or "-", and begins with a letter or digit.'
  throw wrong(path, message)
}

/** A name for people, of a tenant. Mistakes: INVALID_INPUT. */
export function readName(name: string, path: readonly string[]): string {
  if (readText(name, path, NAME).trim() !== '') return name
  throw wrong(path, 'A name is more than spaces.')
}

/** The name of a key or portal session, by which the audit log says who did something. Mistakes: INVALID_INPUT. */
export function readActorName(given: string, path: readonly string[]): string {
  const name = readName(given, path)
  if (name.trim().toLowerCase() !== SYSTEM.name.toLowerCase()) return name
  const message = `${SYSTEM.name} is what the audit log calls what is done by itself: choose another name.`
  throw wrong(path, message)
}
