import type { DeliveryId } from '../../schema/ids.ts'
import { admitDue, lockEndpoints } from '../deliveries/admit.ts'
import { advanceLanes } from '../deliveries/lanes.ts'
import type { Tx } from '../postgres/client.ts'
import type { Part, Step, StepContext } from './step.ts'

const MOST = 500

/**
 * Takes back what a cancelled replay has handed over and nobody has tried: what was delivered stays so, the rest is
 * cancelled, as after `deliveryCancel`; but what has failed and still holds up its lane goes on doing that.
 */
export async function takeBack({ tickets, clock }: StepContext, tx: Tx, part: Part): Promise<Step> {
  const now = clock.now()
  const endpoint = part.endpointId
  await lockEndpoints(tx, [endpoint])
  // What is locked is being given a ticket at this moment: it goes.
  const taken = await tx<{ id: DeliveryId; lane: string | null; state: string }[]>`
    with chosen as materialized (
      select id from postrider.deliveries
      where replay_id = ${part.replayId} and endpoint_id = ${endpoint} and waiting_for = 'REPLAY' and id <= ${part.upTo}
        and (state <> 'PENDING' or scheduled_attempts_made = 0)
      order by id limit ${MOST} for update skip locked
    )
    update postrider.deliveries delivery set
      state = case when state <> 'PENDING' then state when exists (
        select from postrider.lanes where endpoint_id = ${endpoint} and lanes.lane = delivery.lane and head = delivery.id and blocked
      ) then 'FAILED' else 'CANCELLED' end,
      settled_at = coalesce(settled_at, ${now.toISOString()}::timestamptz),
      waiting_for = null, next_attempt_at = null, requested_trigger = null, requested_at = null, replay_id = null
    from chosen where delivery.id = chosen.id returning delivery.id, lane, state`
  const leaving = taken.flatMap(({ id, lane, state }) =>
    lane !== null && state === 'CANCELLED' ? [{ endpoint, lane, delivery: id }] : [],
  )
  await admitDue(tx, tickets, await advanceLanes(tx, leaving), now)
  return { redelivered: -taken.length, position: part.position, left: taken.length === MOST, crowded: false }
}
