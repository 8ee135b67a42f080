import { deliveryIdOf, type EndpointId, newId, type TenantId } from '../../schema/ids.ts'
import type { Db } from '../../src/postgres/client.ts'

const CHUNK = 5000

/** Events whose deliveries to this endpoint are over, as rows: as if four attempts had been made, three seconds ago. */
export async function insertSettled(
  db: Db,
  endpoint: EndpointId,
  count: number,
  { state = 'FAILED', type = 'invoice.paid' } = {},
): Promise<void> {
  const [tenant] = await db.sql<
    { id: TenantId }[]
  >`select tenant_id as id from postrider.endpoints where id = ${endpoint}`
  for (let done = 0; done < count; done += CHUNK) {
    await insertChunk(db, { endpoint, tenant: tenant?.id as TenantId, state, type }, Math.min(CHUNK, count - done))
  }
}

type Kind = { endpoint: EndpointId; tenant: TenantId; state: string; type: string }

async function insertChunk(db: Db, { endpoint, tenant, state, type }: Kind, count: number): Promise<void> {
  const at = new Date(Date.now() - 3000)
  const events = Array.from({ length: count }, () => newId<'evt'>(at))
  const deliveries = events.map((event) => deliveryIdOf(event, endpoint))
  const time = at.toISOString()
  await db.sql`insert into postrider.events (id, tenant_id, type, channels, occurred_at, routed_at)
    select id, ${tenant}, ${type}, '{}', ${time}, ${time} from unnest(${events as never}::uuid[]) as made (id)`
  await db.sql`insert into postrider.event_payloads (id, payload) select id, '{"a":1}' from unnest(${events as never}::uuid[]) as made (id)`
  await db.sql`insert into postrider.deliveries (
      id, tenant_id, event_id, endpoint_id, event_type, state, attempts_made, scheduled_attempts_made, created_at, settled_at
    ) select id, ${tenant}, event_id, ${endpoint}, ${type}, ${state}::text, 4, 4, ${time}, ${time}
    from unnest(${deliveries as never}::uuid[], ${events as never}::uuid[]) as made (id, event_id)`
}
