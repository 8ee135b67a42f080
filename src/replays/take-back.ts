import { lockEndpoints } from '../deliveries/admit.ts'
import type { Tx } from '../postgres/client.ts'
import type { Part, Step, StepContext } from './step.ts'

const MOST = 500

/**
 * Takes back what a cancelled replay has handed over and nobody has tried: it becomes what it was before, and goes on holding
 * up its lane if it did. What the replay itself has created, of missed events, is cancelled.
 */
export async function takeBack({ clock }: StepContext, tx: Tx, part: Part): Promise<Step> {
  const endpoint = part.endpointId
  await lockEndpoints(tx, [endpoint])
  // What is locked is being given a ticket at this moment: it goes.
  const taken = await tx`
    with chosen as materialized (
      select id from postrider.deliveries
      where replay_id = ${part.replayId} and endpoint_id = ${endpoint} and waiting_for = 'REPLAY' and id <= ${part.upTo}
        and (state <> 'PENDING' or scheduled_attempts_made = 0)
      order by id limit ${MOST} for update skip locked
    )
    update postrider.deliveries delivery set
      state = case when state = 'PENDING' then coalesce(before_replay->>'state', 'CANCELLED') else state end,
      failed_reason = case when state = 'PENDING' then before_replay->>'failedReason' else failed_reason end,
      settled_at = coalesce(settled_at, (before_replay->>'settledAt')::timestamptz, ${clock.now().toISOString()}),
      waiting_for = null, next_attempt_at = null, requested_trigger = null, requested_at = null, replay_id = null, before_replay = null
    from chosen where delivery.id = chosen.id`
  return { redelivered: -taken.count, position: part.position, left: taken.count === MOST, crowded: false }
}
