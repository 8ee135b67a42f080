import type { DeliveryId, EndpointId } from '../../schema/ids.ts'
import type { DeliveryState } from '../../schema/states.ts'
import { Mistake } from '../mistake.ts'
import type { Db, Tx } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { again } from '../postgres/deadlock.ts'
import type { Tickets } from '../queue/tickets.ts'
import type { Wake } from '../queue/wake.ts'
import type { Reach } from '../tenants/access.ts'
import { admitDue } from './admit.ts'

export type RedelivererContext = { db: Db; tickets: Tickets; wake: Wake; clock: Clock }

export type Redeliverer = {
  /**
   * One attempt beside the schedule. It goes through admission like any other; at a paused endpoint it waits.
   * Mistakes: NOT_FOUND, ENDPOINT_DELETED, ATTEMPT_IN_FLIGHT, all at `id`.
   */
  retry(reach: Reach, id: DeliveryId): Promise<void>
  /** Gives a pending delivery up. An attempt in flight is not called back. Mistakes: NOT_FOUND, NOT_PENDING. */
  cancel(reach: Reach, id: DeliveryId): Promise<void>
}

export function createRedeliverer(context: RedelivererContext): Redeliverer {
  return {
    async retry(reach, id) {
      await again(() => context.db.transaction((tx) => requestAttempt(context, tx, reach, id)))
      context.wake.signal('deliver')
    },
    cancel: (reach, id) => again(() => context.db.transaction((tx) => cancel(tx, reach, id, context.clock.now()))),
  }
}

type Row = {
  endpointId: EndpointId
  state: DeliveryState
  ticketId: string | null
  endpointDeleted: boolean
}

async function requestAttempt(
  { tickets, clock }: RedelivererContext,
  tx: Tx,
  reach: Reach,
  id: DeliveryId,
): Promise<void> {
  const row = await lockDelivery(tx, reach, id)
  if (row.endpointDeleted) {
    const message =
      'The endpoint of this delivery was deleted, and its secrets with it. Create an endpoint and publish again.'
    throw new Mistake('ENDPOINT_DELETED', ['id'], message)
  }
  if (row.ticketId !== null && (await tickets.isClaimed(tx, 'deliver', row.ticketId))) {
    const message = 'An attempt of this delivery is in flight. Wait for its result, and retry then if it failed.'
    throw new Mistake('ATTEMPT_IN_FLIGHT', ['id'], message)
  }
  await tx`
    update postrider.deliveries set requested_trigger = case requested_trigger when 'TEST' then 'TEST' else 'MANUAL' end, requested_at = ${clock.now().toISOString()},
      waiting_for = case when ticket_id is null then 'ALLOWANCE' end
    where id = ${id}`
  // With a ticket it goes as soon as that is claimed, as an attempt by hand.
  if (row.ticketId !== null) return
  await admitDue(tx, tickets, [{ id, endpoint: row.endpointId, firstAttempt: true }], clock.now())
}

async function cancel(tx: Tx, reach: Reach, id: DeliveryId, now: Date): Promise<void> {
  const row = await lockDelivery(tx, reach, id)
  if (row.state !== 'PENDING') {
    throw new Mistake('NOT_PENDING', ['id'], `This delivery is ${row.state} already: there is nothing to cancel.`)
  }
  await tx`
    update postrider.deliveries set state = 'CANCELLED', ticket_id = null, waiting_for = null, next_attempt_at = null,
      requested_trigger = null, requested_at = null, settled_at = ${now.toISOString()}
    where id = ${id}`
}

async function lockDelivery(tx: Tx, reach: Reach, id: DeliveryId): Promise<Row> {
  const [row] = await tx<Row[]>`
    select endpoint_id as "endpointId", delivery.state, ticket_id as "ticketId",
      exists (select from postrider.endpoints where id = endpoint_id and deleted_at is not null) as "endpointDeleted"
    from postrider.deliveries delivery
    where id = ${id} and (${reach === 'every'} or tenant_id = ${reach === 'every' ? null : reach}) for update`
  if (!row) throw new Mistake('NOT_FOUND', ['id'], 'There is no such delivery.')
  return row
}
