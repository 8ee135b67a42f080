import type { EndpointId, ReplayId, TenantId } from '../../schema/ids.ts'
import type { ReplayState } from '../../schema/states.ts'
import type { StoredSelection } from '../../schema/tables/replays.ts'
import { deliveryCondition } from '../deliveries/find.ts'
import { type Tx, toDate } from '../postgres/client.ts'
import { again } from '../postgres/deadlock.ts'
import { together } from '../postgres/together.ts'
import { bringMissed } from './bring-missed.ts'
import { handOver } from './hand-over.ts'
import { filterOf } from './selection.ts'
import type { Part, Step, StepContext } from './step.ts'
import { takeBack } from './take-back.ts'

export type TurnContext = StepContext & { perSecond: number }

// Between two turns of one replay, whatever they did: other work comes in between.
const LEAST_PAUSE_MS = 20
// Where there was no room: by then something has been answered.
const CROWDED_PAUSE_MS = 100
const AFTER_ERROR_MS = 5000

/** What a turn did. `failed`: nothing, and the replay is put back behind the others. */
export type Turn = { redelivered: number; failed?: { replay: ReplayId; err: unknown } }

type ReplayRow = {
  id: ReplayId
  tenantId: TenantId
  selection: StoredSelection
  state: ReplayState
  upTo: string
  createdAt: string
  /** The part whose turn it is; null: none is left. */
  endpointId: EndpointId | null
  position: string | null
}

/**
 * One step of the replay whose turn it is, in one transaction with its new position and counts: whatever dies, nothing is
 * repeated and nothing is left out. Null: nobody's turn has come. Replays take turns, and so do the endpoints of each.
 */
export async function takeTurn(context: TurnContext): Promise<Turn | null> {
  let taken: ReplayId | null = null
  try {
    return await again(() => takeNext(context, (replay) => (taken = replay)))
  } catch (err) {
    // Before it is tried again it is the others' turn.
    if (taken === null || !(await postpone(context, taken).catch(() => false))) throw err
    return { redelivered: 0, failed: { replay: taken, err } }
  }
}

function takeNext(context: TurnContext, onTaken: (replay: ReplayId) => void): Promise<Turn | null> {
  return context.db.transaction(async (tx) => {
    const now = context.clock.now()
    const [replay] = await tx<ReplayRow[]>`
      select id, tenant_id as "tenantId", selection, state, up_to as "upTo", created_at as "createdAt",
        part.endpoint_id as "endpointId", part.position
      from postrider.replays left join lateral (
        select endpoint_id, position from postrider.replay_parts
        where replay_id = replays.id and next_turn_at is not null order by next_turn_at, endpoint_id limit 1
      ) part on true
      where next_turn_at <= ${now.toISOString()} order by next_turn_at, id limit 1 for update of replays skip locked`
    if (!replay) return null
    onTaken(replay.id)
    const step = replay.endpointId === null ? null : await takeStep(context, tx, replay)
    const [, left] = await together([savePart(tx, replay, step, now), readLeft(tx, replay.id)])
    await saveReplay(tx, replay, step, left, now, context.perSecond)
    return { redelivered: step?.redelivered ?? 0 }
  })
}

async function postpone({ db, clock }: TurnContext, replay: ReplayId): Promise<boolean> {
  const next = new Date(clock.now().getTime() + AFTER_ERROR_MS).toISOString()
  await db.sql`update postrider.replays set next_turn_at = ${next} where id = ${replay} and next_turn_at is not null`
  return true
}

/** Null: the endpoint was deleted. */
function takeStep(context: TurnContext, tx: Tx, replay: ReplayRow): Promise<Step | null> {
  const { id, tenantId, upTo, createdAt, selection } = replay
  const [endpointId, position] = [replay.endpointId as EndpointId, replay.position as string]
  const part: Part = { replayId: id, tenantId, endpointId, position, upTo, createdAt: toDate(createdAt) }
  if (replay.state === 'CANCELLED') return takeBack(context, tx, part)
  if ('missed' in selection) return bringMissed(context, tx, part)
  return handOver(context, tx, part, deliveryCondition(filterOf(selection)))
}

async function savePart(tx: Tx, { id, endpointId }: ReplayRow, step: Step | null, now: Date): Promise<void> {
  if (endpointId === null) return
  const next = step?.left ? new Date(now.getTime() + (step.crowded ? CROWDED_PAUSE_MS : 0)) : null
  await tx`
    update postrider.replay_parts set position = coalesce(${step?.position ?? null}::uuid, position), next_turn_at = ${next?.toISOString() ?? null}
    where replay_id = ${id} and endpoint_id = ${endpointId}`
}

/** When the first of its parts goes on, if there is one; and whether any of its endpoints is still there, once there is none. */
type Left = { next: string | null; living: boolean }

async function readLeft(tx: Tx, replay: ReplayId): Promise<Left> {
  const [left] = await tx<[Left]>`
    select next, next is not null or not exists (select from postrider.replay_parts where replay_id = ${replay}) or exists (
      select from postrider.replay_parts part join postrider.endpoints endpoint on endpoint.id = part.endpoint_id
      where replay_id = ${replay} and endpoint.deleted_at is null
    ) as living
    from (select min(next_turn_at) as next from postrider.replay_parts where replay_id = ${replay}) first`
  return left
}

/** A replay that has no part left to go on with has ended. */
async function saveReplay(
  tx: Tx,
  replay: ReplayRow,
  step: Step | null,
  left: Left,
  now: Date,
  perSecond: number,
): Promise<void> {
  const redelivered = step?.redelivered ?? 0
  const pauseMs = Math.max(LEAST_PAUSE_MS, (Math.max(0, redelivered) * 1000) / perSecond)
  const nextPart = toDate(left.next)
  const next = nextPart && new Date(Math.max(nextPart.getTime(), now.getTime() + pauseMs))
  const ended = next === null && replay.state === 'RUNNING'
  const state = ended ? (step === null && !left.living ? 'FAILED' : 'COMPLETED') : replay.state
  await tx`
    update postrider.replays set state = ${state}, failure = ${state === 'FAILED' ? 'ENDPOINT_DELETED' : null},
      next_turn_at = ${next?.toISOString() ?? null}, finished_at = coalesce(finished_at, ${ended ? now.toISOString() : null}::timestamptz),
      redelivered = redelivered + ${redelivered},
      -- A delivery that was settled in the very moment of the start may have been counted as pending.
      total = greatest(total, redelivered + ${redelivered}),
      skipped = case when ${ended} then greatest(total, redelivered + ${redelivered}) - redelivered - ${redelivered}
        else least(skipped, greatest(total, redelivered + ${redelivered}) - redelivered - ${redelivered}) end
    where id = ${replay.id}`
}
