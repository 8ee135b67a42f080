import type { Queryable, Sql } from '../postgres/client.ts'
import { describeUses, keysInUse, missingKeys, type NamedUse } from './keys-in-use.ts'
import type { Sealer } from './sealer.ts'

const WHERE =
  'in POSTRIDER_MASTER_KEYS (the old key may stand after a new one), or in the file master-keys of the data directory.'

/** The master keys at hand do not open what this database holds. */
export class WrongMasterKeys extends Error {
  readonly code = 'WRONG_MASTER_KEYS'

  constructor(missing: readonly NamedUse[], options?: ErrorOptions) {
    const which =
      missing.length === 0 ? '' : ` The keys that are missing, and what needs them: ${describeUses(missing)}.`
    super(
      `The secrets in this database were sealed with another master key.${which} Start with the key that sealed them: ${WHERE} ` +
        'A key is needed until npm run keys:rotate says that nothing needs it any more.',
      options,
    )
    this.name = 'WrongMasterKeys'
  }
}

/** Whether this database holds what was sealed already: then a new key would be a wrong one. */
export async function hasMetMasterKeys(sql: Sql): Promise<boolean> {
  const [row] = await sql<{ met: boolean }[]>`select key_check is not null as met from postrider.installation`
  return row?.met || (await keysInUse(sql)).length > 0
}

const CONTEXT = 'installation'
const CHECK_VALUE = { what: 'check value' }

/** Refuses keys that do not open all that is sealed in this database; one that never met any remembers these. */
export async function checkMasterKeys(sql: Sql, sealer: Sealer): Promise<void> {
  const missing = await missingKeys(sql, sealer)
  if (missing.length > 0) throw new WrongMasterKeys(missing)
  const fresh = sealer.seal('postrider', CONTEXT).toString('base64')
  const [row] = await sql<{ keyCheck: string }[]>`
    update postrider.installation set key_check = coalesce(key_check, ${fresh}) returning key_check as "keyCheck"`
  const sealed = Buffer.from(row?.keyCheck ?? '', 'base64')
  try {
    sealer.open(sealed, CONTEXT)
  } catch (cause) {
    const keyId = needed(sealer, sealed)
    throw new WrongMasterKeys(keyId === null ? [] : [{ keyId, column: CHECK_VALUE, count: 1 }], { cause })
  }
}

/** Seals the value by which a start knows its keys with the newest of them. Returns whether it was another one's. */
export async function renewKeyCheck(sql: Queryable, sealer: Sealer): Promise<boolean> {
  const [row] = await sql<{ keyCheck: string | null }[]>`select key_check as "keyCheck" from postrider.installation`
  if (!row?.keyCheck || sealer.keyIdOf(Buffer.from(row.keyCheck, 'base64')) === sealer.newest) return false
  const fresh = sealer.seal('postrider', CONTEXT).toString('base64')
  const renewed = await sql`
    update postrider.installation set key_check = ${fresh} where key_check = ${row.keyCheck}`
  return renewed.count > 0
}

/** Null: the value is damaged, or no key is missing for it. */
function needed(sealer: Sealer, sealed: Buffer): string | null {
  try {
    const keyId = sealer.keyIdOf(sealed)
    return sealer.has(keyId) ? null : keyId
  } catch {
    return null
  }
}
