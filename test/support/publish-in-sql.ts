import type { Queryable } from '../../src/postgres/client.ts'

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
