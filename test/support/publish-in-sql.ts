import { randomUUID } from 'node:crypto'
import { inject, onTestFinished } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { type Address, openClient, type Queryable, type Sql } from '../../src/postgres/client.ts'
import { openDatabase } from './database.ts'

/** The arguments of `postrider.publish` that a test gives, by name. */
export type Arguments = {
  type?: string | null
  payload?: string | null
  tenant?: string | null
  idempotency_key?: string
  ordering_key?: string
  channels?: (string | null)[]
  version?: string
  occurred_at?: string
  wake?: boolean | null
}

/** Publishes an event with the SQL function, and returns its public id. */
export async function publishIn(queryable: Queryable, given: Arguments = {}): Promise<string> {
  const all = Object.entries({ type: 'order.placed', payload: '{"total": 1.10}', ...given })
  const names = all.map(([name], index) => `${name} => $${index + 1}`)
  const [row] = await queryable.unsafe<{ id: string }[]>(
    `select postrider.publish(${names.join(', ')}) as id`,
    all.map(([, value]) => value) as never[],
  )
  return (row as { id: string }).id
}

/** A role of its own in this database, and a pool that it has logged in with; `asOwner` runs as Postrider does. */
export type Producer = { name: string; sql: Sql; asAdmin: Sql; asOwner: Sql; mayPublish(): Promise<void> }

export async function createProducer(address: Exclude<Address, string>, connections = 1): Promise<Producer> {
  const asAdmin = (await openDatabase({ ...inject('postgresAdminAddress'), database: address.database }, { max: 1 }))
    .sql
  const asOwner = (await openDatabase(address, { max: 1 })).sql
  const name = `shop_${randomUUID().slice(0, 8)}`
  await asAdmin.unsafe(`create role ${name} login`)
  const sql = await openClient({ ...address, user: name }, { max: connections, name, log: silentLog })
  onTestFinished(async () => {
    await sql.end()
    await asAdmin.unsafe(`drop owned by ${name} cascade; drop role ${name}`)
  })
  return {
    name,
    sql,
    asAdmin,
    asOwner,
    async mayPublish() {
      await asOwner.unsafe(`grant usage on schema postrider to ${name}`)
      await asOwner.unsafe(`grant execute on function postrider.publish to ${name}`)
    },
  }
}
