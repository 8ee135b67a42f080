import type { Queryable } from '../postgres/client.ts'
import { type SealedColumn, sealedColumns } from './columns.ts'
import type { Sealer } from './sealer.ts'

/** How many values of a column need a key to be opened. `keyId` in hex, as `MasterKey.id`. */
export type KeyUse = { keyId: string; column: SealedColumn; count: number }

/** Which keys open what is in the database, the check value of the installation left out. */
export async function keysInUse(sql: Queryable): Promise<KeyUse[]> {
  return usesOf(sql, () => true)
}

/** What is needed of keys that the sealer does not have. Quick where there is none, whatever is in the database. */
export async function missingKeys(sql: Queryable, sealer: Pick<Sealer, 'has'>): Promise<KeyUse[]> {
  return usesOf(sql, (keyId) => !sealer.has(keyId))
}

/** The column of a row that says which key it needs, as `secrets_of_master_key` has it. */
export function keyIdColumn(sql: Queryable, { column }: SealedColumn) {
  return sql`substr(${sql(column)}, 2, 8)`
}

async function usesOf(sql: Queryable, isMeant: (keyId: string) => boolean): Promise<KeyUse[]> {
  const uses = await Promise.all(
    sealedColumns().map(async (column) => {
      const meant = (await keyIdsIn(sql, column)).filter(isMeant)
      return Promise.all(meant.map((keyId) => countOf(sql, column, keyId)))
    }),
  )
  return uses.flat().filter(({ count }) => count > 0)
}

/** One step in the index for each key, not one for each row. */
async function keyIdsIn(sql: Queryable, column: SealedColumn): Promise<string[]> {
  const [table, key] = [sql(`postrider.${column.table}`), keyIdColumn(sql, column)]
  const rows = await sql<{ keyId: string }[]>`
    with recursive known (key) as (
      (select ${key} from ${table} order by ${key} limit 1)
      union all
      select (select ${key} from ${table} where ${key} > known.key order by ${key} limit 1) from known where known.key is not null
    )
    select encode(key, 'hex') as "keyId" from known where key is not null`
  return rows.map(({ keyId }) => keyId)
}

async function countOf(sql: Queryable, column: SealedColumn, keyId: string): Promise<KeyUse> {
  const [row] = await sql<[{ count: number }]>`
    select count(*)::int from ${sql(`postrider.${column.table}`)} where ${keyIdColumn(sql, column)} = ${Buffer.from(keyId, 'hex')}`
  return { keyId, column, count: row.count }
}

export type NamedUse = { keyId: string; column: Pick<SealedColumn, 'what'>; count: number }

/** For people: `9ab3… (12 signing secrets, 3 header values)`, the keys one after another. */
export function describeUses(uses: readonly NamedUse[]): string {
  return [...Map.groupBy(uses, ({ keyId }) => keyId)]
    .map(([keyId, ofKey]) => {
      const counts = ofKey.map(({ column, count }) => `${count} ${column.what}${count === 1 ? '' : 's'}`)
      return `${keyId} (${counts.join(', ')})`
    })
    .join(', ')
}
