import type { Sql } from '../postgres/client.ts'
import type { Sealer } from './sealer.ts'

/** The master keys at hand do not open what this database holds. */
export class WrongMasterKeys extends Error {
  readonly code = 'WRONG_MASTER_KEYS'

  constructor(cause: unknown) {
    super(
      'The secrets in this database were sealed with another master key. Start with the key that sealed them: ' +
        'in POSTRIDER_MASTER_KEYS (the old key may stand after a new one), or in the file master-keys of the data directory.',
      { cause },
    )
    this.name = 'WrongMasterKeys'
  }
}

/** Whether this database holds what was sealed already: then a new key would be a wrong one. */
export async function hasMetMasterKeys(sql: Sql): Promise<boolean> {
  const [row] = await sql<{ met: boolean }[]>`select key_check is not null as met from postrider.installation`
  return row?.met ?? false
}

const CONTEXT = 'installation'

/** Refuses keys that do not open this database's secrets; a database that never met any remembers these. */
export async function checkMasterKeys(sql: Sql, sealer: Sealer): Promise<void> {
  const fresh = sealer.seal('postrider', CONTEXT).toString('base64')
  const [row] = await sql<{ keyCheck: string }[]>`
    update postrider.installation set key_check = coalesce(key_check, ${fresh}) returning key_check as "keyCheck"`
  try {
    sealer.open(Buffer.from(row?.keyCheck ?? '', 'base64'), CONTEXT)
  } catch (error) {
    throw new WrongMasterKeys(error)
  }
}
