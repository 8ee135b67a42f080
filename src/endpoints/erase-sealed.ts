import { sql } from 'drizzle-orm'
import type { EndpointId } from '../../schema/ids.ts'
import type { Orm } from '../postgres/client.ts'
import { sealedOfEndpoints } from '../sealing/columns.ts'

/** Erases everything sealed of endpoints that are deleted: their signing secrets, and what is sent to prove who we are. */
export async function eraseSealed(orm: Pick<Orm, 'execute'>, endpoints: readonly EndpointId[]): Promise<void> {
  const all = sql`any(${sql.param(endpoints)}::uuid[])`
  for (const { table } of sealedOfEndpoints()) {
    await orm.execute(sql`delete from postrider.${sql.identifier(table)} where endpoint_id = ${all}`)
  }
}
