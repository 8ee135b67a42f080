import { type DeliveryId, type EndpointId, type EventId, publicId, type TenantId } from '../../schema/ids.ts'
import type { DeliveryState, StoredWait } from '../../schema/states.ts'
import { recordActionIn } from '../audit/record.ts'
import { Mistake } from '../mistake.ts'
import type { Db, Tx } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { again } from '../postgres/deadlock.ts'
import type { Tickets } from '../queue/tickets.ts'
import type { Wake } from '../queue/wake.ts'
import { type Reach, reachOf, type Viewer } from '../tenants/access.ts'
import { admitDue } from './admit.ts'
import { advanceLanes } from './lanes.ts'

export type RedelivererContext = { db: Db; tickets: Tickets; wake: Wake; clock: Clock }

export type Redeliverer = {
  /**
   * One attempt beside the schedule. It goes through admission like any other; at a paused endpoint it waits.
   * Mistakes: NOT_FOUND, ENDPOINT_DELETED, PAYLOAD_GONE, ATTEMPT_IN_FLIGHT, OUT_OF_ORDER, all at `id`.
   */
  retry(viewer: Viewer, id: DeliveryId): Promise<void>
  /** Gives up a delivery that is pending, or has failed and holds up its lane. Mistakes: NOT_FOUND, NOT_PENDING, ATTEMPT_IN_FLIGHT. */
  cancel(viewer: Viewer, id: DeliveryId): Promise<void>
}

export function createRedeliverer(context: RedelivererContext): Redeliverer {
  return {
    async retry(viewer, id) {
      await again(() => context.db.transaction((tx) => requestAttempt(context, tx, viewer, id)))
      context.wake.signal('deliver')
    },
    async cancel(viewer, id) {
      await again(() => context.db.transaction((tx) => cancel(context, tx, viewer, id)))
      context.wake.signal('deliver')
    },
  }
}

type Row = {
  tenantId: TenantId
  eventId: EventId
  endpointId: EndpointId
  state: DeliveryState
  ticketId: string | null
  lane: string | null
  waitingFor: StoredWait | null
  endpointDeleted: boolean
}

async function requestAttempt(
  { tickets, clock }: RedelivererContext,
  tx: Tx,
  viewer: Viewer,
  id: DeliveryId,
): Promise<void> {
  const row = await lockDelivery(tx, reachOf(viewer), id)
  if (row.waitingFor === 'ORDER') {
    const message = 'It waits for the one before it in its lane. Retry or cancel that one, and this one follows.'
    throw new Mistake('OUT_OF_ORDER', ['id'], message)
  }
  if (row.endpointDeleted) {
    const message =
      'The endpoint of this delivery was deleted, and its secrets with it. Create an endpoint and bring it what it missed: replayStart(input: { select: { missed: { endpointId, since } } }).'
    throw new Mistake('ENDPOINT_DELETED', ['id'], message)
  }
  await refuseWithoutPayload(tx, row.eventId)
  await refuseInFlight(tx, tickets, row, 'Wait for its result, and retry then if it failed.')
  await tx`
    update postrider.deliveries set requested_trigger = case requested_trigger when 'TEST' then 'TEST' else 'MANUAL' end, requested_at = ${clock.now().toISOString()},
      waiting_for = case when ticket_id is null then 'REQUESTED' end
    where id = ${id}`
  await recordActionIn(tx, viewer, { ...about(id, row), action: 'DELIVERY_RETRY' }, clock.now())
  // With a ticket it goes as soon as that is claimed, as an attempt by hand.
  if (row.ticketId !== null) return
  await admitDue(tx, tickets, [{ id, endpoint: row.endpointId, firstAttempt: true }], clock.now())
}

const about = (id: DeliveryId, { tenantId }: Row) => ({ tenantId, object: publicId('dlv', id) })

/** While its request is open, a delivery keeps its place at its endpoint and in its lane: another one beside it would be too many. */
async function refuseInFlight(tx: Tx, tickets: Tickets, { ticketId }: Row, advice: string): Promise<void> {
  if (ticketId === null || !(await tickets.isClaimed(tx, 'deliver', ticketId))) return
  throw new Mistake('ATTEMPT_IN_FLIGHT', ['id'], `An attempt of this delivery is in flight. ${advice}`)
}

/** Under the lock of the endpoint: whoever removes a payload then sees what was asked for, or this sees that it is gone. */
async function refuseWithoutPayload(tx: Tx, event: EventId): Promise<void> {
  const kept = await tx`select from postrider.event_payloads where id = ${event}`
  if (kept.length > 0) return
  const expunged = await tx`select from postrider.events where id = ${event} and expunged_at is not null`
  const why = expunged.length > 0 ? 'was expunged' : 'is no longer kept'
  throw new Mistake('PAYLOAD_GONE', ['id'], `The payload of this event ${why}: there is nothing to send.`)
}

async function cancel({ tickets, clock }: RedelivererContext, tx: Tx, viewer: Viewer, id: DeliveryId): Promise<void> {
  const now = clock.now()
  const row = await lockDelivery(tx, reachOf(viewer), id)
  await refuseInFlight(tx, tickets, row, 'Cancel it when that has ended.')
  if (row.state !== 'PENDING' && !(await blocksItsLane(tx, id, row))) {
    throw new Mistake('NOT_PENDING', ['id'], `This delivery is ${row.state} already: there is nothing to cancel.`)
  }
  await tx`
    update postrider.deliveries set state = 'CANCELLED', failed_reason = null, ticket_id = null, waiting_for = null, next_attempt_at = null,
      requested_trigger = null, requested_at = null, replay_id = null, settled_at = ${now.toISOString()}
    where id = ${id}`
  await recordActionIn(tx, viewer, { ...about(id, row), action: 'DELIVERY_CANCEL' }, now)
  if (row.lane === null) return
  const moved = await advanceLanes(tx, [{ endpoint: row.endpointId, lane: row.lane, delivery: id }])
  await admitDue(tx, tickets, moved, now)
}

/** A delivery that failed for good and holds up those behind it may be given up as well: that lets them go. */
async function blocksItsLane(tx: Tx, id: DeliveryId, { state, endpointId, lane }: Row): Promise<boolean> {
  if (state !== 'FAILED' || lane === null) return false
  const rows =
    await tx`select from postrider.lanes where endpoint_id = ${endpointId} and lane = ${lane} and head = ${id}`
  return rows.length > 0
}

/** Its endpoint first, as everybody does who changes both: nobody then waits for what the other one holds. */
async function lockDelivery(tx: Tx, reach: Reach, id: DeliveryId): Promise<Row> {
  const mine = tx`id = ${id} and (${reach === 'every'} or tenant_id = ${reach === 'every' ? null : reach})`
  await tx`select from postrider.endpoints where id = (select endpoint_id from postrider.deliveries where ${mine}) for no key update`
  const [row] = await tx<Row[]>`
    select delivery.tenant_id as "tenantId", event_id as "eventId", endpoint_id as "endpointId", delivery.state, ticket_id as "ticketId", lane, waiting_for as "waitingFor",
      exists (select from postrider.endpoints where id = endpoint_id and deleted_at is not null) as "endpointDeleted"
    from postrider.deliveries delivery
    where ${mine} for update`
  if (!row) throw new Mistake('NOT_FOUND', ['id'], `There is no delivery ${publicId('dlv', id)}.`)
  return row
}
