import { and, count, eq, sql } from 'drizzle-orm'
import { type EndpointId, newId, publicId, type ReplayId, type TenantId } from '../../schema/ids.ts'
import { replayParts, replays } from '../../schema/tables/replays.ts'
import { recordAction } from '../audit/record.ts'
import { Mistake } from '../mistake.ts'
import type { Db } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import type { Retention } from '../postgres/days.ts'
import type { Wake } from '../queue/wake.ts'
import { reachOf, type Viewer } from '../tenants/access.ts'
import { inReach } from '../tenants/reach.ts'
import { countSelection, sumOf } from './count.ts'
import type { Replay } from './find.ts'
import { boundsOfSelection, namedEndpoints, type ReplaySelectInput, readSelection } from './selection.ts'

export type ReplaysContext = {
  db: Pick<Db, 'orm'>
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
 * ENDPOINT_DELETED where the selection is at fault, TOO_MANY_REPLAYS at `input`.
 */
export async function startReplay(
  { db, wake, clock, operationsTenantId }: ReplaysContext,
  viewer: Viewer,
  tenant: TenantId,
  select: ReplaySelectInput,
): Promise<Replay> {
  const selection = readSelection(select)
  await namedEndpoints(db.orm, tenant, selection)
  const now = clock.now()
  const counted = await countSelection({ orm: db.orm, operationsTenantId }, tenant, selection, now)
  const sent = counted.filter(({ skipped }) => skipped === null)
  const total = sumOf(counted)
  const bounds = boundsOfSelection(selection, now)
  const parts = [...new Set(sent.map(({ endpointId }) => endpointId))]
  const started = await db.orm.transaction(async (tx) => {
    // One start of a tenant after another, so that the bound holds.
    await tx.execute(sql`select from postrider.tenants where id = ${tenant} for no key update`)
    const [running] = await tx
      .select({ count: count() })
      .from(replays)
      .where(and(eq(replays.tenantId, tenant), eq(replays.state, 'RUNNING')))
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
    if (!replay) throw new Mistake('NOT_FOUND', ['id'], 'There is no such replay.')
    if (replay.state !== 'RUNNING' && !(replay.state === 'COMPLETED' && (await isWaiting(tx, id)))) {
      throw new Mistake('NOT_RUNNING', ['id'], `${publicId('rpl', id)} is ${replay.state} and nothing of it waits.`)
    }
    await tx.update(replayParts).set({ nextTurnAt: now }).where(eq(replayParts.replayId, id))
    const changes = { state: 'CANCELLED', finishedAt: now, nextTurnAt: now } as const
    const [row] = await tx.update(replays).set(changes).where(eq(replays.id, id)).returning()
    const action = { action: 'REPLAY_CANCEL', tenantId: replay.tenantId, object: publicId('rpl', id) } as const
    await recordAction(tx, viewer, action, now)
    return row as Replay
  })
  wake.signal('replays')
  wake.signal('replay-progress')
  return cancelled
}

/** Whether something that was handed over still waits in its line, as at a paused endpoint. */
async function isWaiting(tx: Pick<Db['orm'], 'execute'>, id: ReplayId): Promise<boolean> {
  const rows = await tx.execute(sql`
    select from postrider.replay_parts part where replay_id = ${id} and exists (
      select from postrider.deliveries
      where endpoint_id = part.endpoint_id and waiting_for = 'REPLAY' and deliveries.replay_id = ${id} limit 1
    ) limit 1`)
  return rows.length > 0
}
