import { createHash, randomBytes } from 'node:crypto'
import type { Sql } from '../postgres/client.ts'

/**
 * What marks the feed cursors of this database. Besides what is stored in it that is where it lies: in one restored from a dump
 * the same positions are given again, to other attempts, and cursors from before must not be taken for its own.
 */
export async function readEpoch(sql: Sql): Promise<string> {
  const [row] = await sql<[{ epoch: string; place: string }]>`
    with fresh as (
      insert into postrider.installation (epoch) values (${randomBytes(6).toString('hex')}) on conflict do nothing returning epoch
    )
    select epoch, concat_ws(' ', pg_database.oid, 'postrider.installation'::regclass::oid) as place
    from (select epoch from fresh union all select epoch from postrider.installation limit 1) stored, pg_database
    where datname = current_database()`
  return createHash('sha256')
    .update(`${row.epoch} ${row.place} ${await readSystem(sql)}`)
    .digest('hex')
    .slice(0, 12)
}

/** The number that initdb draws for each cluster. */
async function readSystem(sql: Sql): Promise<string> {
  try {
    const [row] = await sql<{ id: string }[]>`select system_identifier::text as id from pg_control_system()`
    return String(row?.id)
  } catch (error) {
    // Anybody may ask, unless somebody has forbidden it: insufficient_privilege.
    if ((error as { code?: string }).code === '42501') return ''
    throw error
  }
}
