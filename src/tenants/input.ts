import { Mistake } from '../mistake.ts'

const TENANT_KEY = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$/
const LONGEST_NAME = 200

/** The key of a new tenant. Mistakes: INVALID_INPUT. */
export function readTenantKey(key: string, path: readonly string[]): string {
  if (TENANT_KEY.test(key)) return key
  const message =
    'The key of a tenant has 1 to 64 letters, digits, "_", ".", ":" or "-", and begins with a letter or digit.'
  throw new Mistake('INVALID_INPUT', [...path], message)
}

/** A name for people: of a tenant, a key or a portal session. Mistakes: INVALID_INPUT. */
export function readName(name: string, path: readonly string[]): string {
  // Postgres text cannot hold U+0000, and a lone surrogate would silently become U+FFFD.
  const fits = name.trim() !== '' && name.length <= LONGEST_NAME && !name.includes('\0') && name.isWellFormed()
  if (fits) return name
  const message = `A name has 1 to ${LONGEST_NAME} characters of valid Unicode, not all of them spaces.`
  throw new Mistake('INVALID_INPUT', [...path], message)
}
