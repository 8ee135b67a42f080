import type { Sql } from '../postgres/client.ts'
import type { MasterKey } from './master-keys.ts'

/**
 * Which keys the running processes have, told by the names of their sessions: whoever rotates the keys must know that everybody
 * can open what is sealed anew. The ids say nothing about the keys.
 */
const NAME = 'wake-ups'
const ID_CHARACTERS = 8
// Postgres cuts names at 63 bytes: "postrider wake-ups" and five ids.
const MOST_IDS = 5

/** The name of a session that every process holds all the time. */
export function sessionName(keys: readonly MasterKey[]): string {
  return [NAME, ...keys.slice(0, MOST_IDS).map(({ id }) => id.slice(0, ID_CHARACTERS))].join(' ')
}

/** Whether some process that runs now lacks the key of this id, or seals with another one although it has it. */
export async function processesWithout(
  sql: Sql,
  newest: string,
): Promise<{ lacking: boolean; sealingOtherwise: boolean }> {
  const rows = await sql<{ name: string }[]>`
    select distinct application_name as name from pg_stat_activity
    where datname = current_database() and application_name ~ ${`^postrider ${NAME}( |$)`}`
  const known = rows.map(({ name }) => name.split(' ').slice(2))
  const id = newest.slice(0, ID_CHARACTERS)
  return {
    lacking: known.some((ids) => !ids.includes(id)),
    sealingOtherwise: known.some((ids) => ids[0] !== id),
  }
}
