import { and, count, eq, isNotNull, sql } from 'drizzle-orm'
import { type EndpointId, newId, publicId, type ReplayId, type TenantId } from '../../schema/ids.ts'
import { replayParts, replays } from '../../schema/tables/replays.ts'
import { recordAction } from '../audit/record.ts'
import { Mistake } from '../mistake.ts'
import type { Db } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import type { Retention } from '../postgres/days.ts'
import type { Scans } from '../postgres/scans.ts'
import type { Wake } from '../queue/wake.ts'
import { reachOf, type Viewer } from '../tenants/access.ts'
import { holdTenant } from '../tenants/hold.ts'
import { inReach } from '../tenants/reach.ts'
import { countSelection, sumOf } from './count.ts'
import type { Replay } from './find.ts'
import { boundsOfSelection, namedEndpoints, type ReplaySelectInput, readSelection } from './selection.ts'

export type ReplaysContext = {
  db: Pick<Db, 'orm'>
  scans: Scans
  wake: Pick<Wake, 'signal'>
  clock: Clock
  operationsTenantId: TenantId
  retention: Retention
}

/** Each takes its turns: more of them only make every one slower. */
export const MOST_RUNNING = 10
// A statement takes 65,535 parameters.
const MOST_ROWS_PER_INSERT = 5000

/**
 * Counts what is selected and notes it to be replayed; the runner does the rest. Mistakes: INVALID_INPUT, NOT_FOUND and
 * ENDPOINT_DELETED where the selection is at fault, NOT_FOUND where the tenant was deleted meanwhile, TOO_MUCH_TO_READ, TOO_MANY_REPLAYS at `input`.
 */
export async function startReplay(
  { db, scans, wake, clock, operationsTenantId, retention }: ReplaysContext,
  viewer: Viewer,
  tenant: TenantId,
  select: ReplaySelectInput,
): Promise<Replay> {
  const selection = readSelection(select)
  await namedEndpoints(db.orm, tenant, selection)
  const now = clock.now()
  const counted = await countSelection({ scans, operationsTenantId, retention }, tenant, selection, now)
  const sent = counted.filter(({ skipped }) => skipped === null)
  const total = sumOf(counted)
  const bounds = boundsOfSelection(selection, now)
  const parts = [...new Set(sent.map(({ endpointId }) => endpointId))]
  const started = await db.orm.transaction(async (tx) => {
    // One start of a tenant after another, so that the bound holds.
    await holdTenant(tx, tenant, ['input', 'tenant'], 'no key update')
    const [running] = await tx
      .select({ count: count() })
      .from(replays)
      // Cancelled ones that are still being taken back as well: they take their turns like the others.
      .where(and(eq(replays.tenantId, tenant), isNotNull(replays.nextTurnAt)))
    if ((running?.count ?? 0) >= MOST_RUNNING) throw tooMany()
    const [replay] = await tx
      .insert(replays)
      .values({
        id: newId<'rpl'>(now),
        tenantId: tenant,
        selection,
        upTo: bounds.upTo,
        total,
        skipped: total - sumOf(sent),
        // Now, not before it was counted: what was settled meanwhile has been counted as it is.
        createdAt: clock.now(),
        ...(parts.length > 0 ? { nextTurnAt: now } : { state: 'COMPLETED', finishedAt: clock.now() }),
      })
      .returning()
    const { id } = replay as Replay
    for (let at = 0; at < parts.length; at += MOST_ROWS_PER_INSERT) {
      const rows = parts.slice(at, at + MOST_ROWS_PER_INSERT)
      await tx.insert(replayParts).values(rows.map((part) => partOf(id, part)))
    }
    const action = {
      action: 'REPLAY_START',
      tenantId: tenant,
      object: publicId('rpl', id),
      details: { ...selection },
    } as const
    await recordAction(tx, viewer, action, now)
    return replay as Replay
  })
  wake.signal('replays')
  return started

  function partOf(replayId: ReplayId, endpointId: EndpointId) {
    return { replayId, endpointId, tenantId: tenant, position: bounds.from, nextTurnAt: now }
  }
}

const tooMany = () =>
  new Mistake(
    'TOO_MANY_REPLAYS',
    ['input'],
    `${MOST_RUNNING} replays of this tenant are running already. Wait for one of them, or cancel it with replayCancel.`,
  )

/**
 * Hands nothing more over, and takes back what waits and has not been tried; the runner does the latter. What has a ticket
 * or has been tried goes on. Mistakes: NOT_FOUND and NOT_RUNNING at `id`.
 */
export async function cancelReplay({ db, wake, clock }: ReplaysContext, viewer: Viewer, id: ReplayId): Promise<Replay> {
  const now = clock.now()
  const cancelled = await db.orm.transaction(async (tx) => {
    const [replay] = await tx
      .select()
      .from(replays)
      .where(and(inReach(replays.tenantId, reachOf(viewer)), eq(replays.id, id)))
      .for('update')
    if (!replay) throw new Mistake('NOT_FOUND', ['id'], `There is no replay ${publicId('rpl', id)}.`)
    const mayWait = replay.state === 'RUNNING' || replay.state === 'COMPLETED'
    const waits = mayWait && (await giveTurns(tx, replay, now))
    if (replay.state !== 'RUNNING' && !waits) {
      throw new Mistake('NOT_RUNNING', ['id'], `${publicId('rpl', id)} is ${replay.state} and nothing of it waits.`)
    }
    const changes = { state: 'CANCELLED', finishedAt: now, nextTurnAt: waits ? now : null } as const
    const [row] = await tx.update(replays).set(changes).where(eq(replays.id, id)).returning()
    const action = { action: 'REPLAY_CANCEL', tenantId: replay.tenantId, object: publicId('rpl', id) } as const
    await recordAction(tx, viewer, action, now)
    return row as Replay
  })
  wake.signal('replays')
  wake.signal('replay-progress')
  return cancelled
}

/**
 * Leaves a turn only to the parts of which something that was handed over still waits in its line, as at a paused endpoint: a
 * start and its cancellation must leave no work behind. Whether there are any.
 */
async function giveTurns(tx: Pick<Db['orm'], 'execute'>, { id, upTo }: Replay, now: Date): Promise<boolean> {
  const rows = await tx.execute(sql`
    with parts as (
      select endpoint_id, exists (
        select from postrider.deliveries
        where deliveries.replay_id = ${id} and endpoint_id = part.endpoint_id and waiting_for = 'REPLAY' and id <= ${upTo}
      ) as waits
      from postrider.replay_parts part where replay_id = ${id}
    ), given as (
      update postrider.replay_parts part set next_turn_at = case when waits then ${now.toISOString()}::timestamptz end
      from parts
      where replay_id = ${id} and part.endpoint_id = parts.endpoint_id and (waits or next_turn_at is not null)
    )
    select from parts where waits limit 1`)
  return rows.length > 0
}
