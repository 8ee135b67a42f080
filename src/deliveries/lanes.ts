import { type DeliveryId, type EndpointId, lowestIdAt, type TenantId, timeOf } from '../../schema/ids.ts'
import type { Tx } from '../postgres/client.ts'
import { DAY_MS } from '../postgres/days.ts'
import { together } from '../postgres/together.ts'
import type { DueRow } from './admit.ts'

/** The deliveries of one endpoint, or of one ordering key at it, that must go in order. */
export type Lane = { endpoint: EndpointId; lane: string }

export type LaneState = Lane & { lastSequence: number; head: DeliveryId | null }

/** Locks lanes, in one order, and makes those that are new. After the locks of their endpoints, never before. */
export async function lockLanes(tx: Tx, tenant: TenantId, lanes: readonly Lane[]): Promise<LaneState[]> {
  if (lanes.length === 0) return []
  const [endpoints, names] = columnsOf(lanes)
  const [, states] = await together([
    tx`insert into postrider.lanes (tenant_id, endpoint_id, lane)
      select ${tenant}::uuid, * from unnest(${endpoints}::uuid[], ${names}::text[]) order by 2, 3 on conflict do nothing`,
    tx<(Omit<LaneState, 'lastSequence'> & { lastSequence: string })[]>`
      select endpoint_id as endpoint, lane, last_sequence as "lastSequence", head from postrider.lanes
      where (endpoint_id, lane) in (select * from unnest(${endpoints}::uuid[], ${names}::text[]))
      order by endpoint_id, lane for update`,
  ])
  return states.map((state) => ({ ...state, lastSequence: Number(state.lastSequence) }))
}

export async function saveLanes(tx: Tx, lanes: readonly LaneState[], now: Date): Promise<void> {
  if (lanes.length === 0) return
  const [endpoints, names] = columnsOf(lanes)
  await tx`
    update postrider.lanes set last_sequence = changed.last_sequence, head = changed.head, used_at = ${now.toISOString()}
    from unnest(
      ${endpoints}::uuid[], ${names}::text[], ${lanes.map(({ lastSequence }) => lastSequence) as never}::bigint[],
      ${lanes.map(({ head }) => head) as never}::uuid[]
    ) as changed (endpoint_id, lane, last_sequence, head)
    where lanes.endpoint_id = changed.endpoint_id and lanes.lane = changed.lane`
}

/** A delivery in a lane whose turn is over. */
export type Ended = Lane & { delivery: DeliveryId }

/**
 * Gives the turn to the next delivery of each lane, and returns those whose turn it is now: they wait for room. A delivery
 * that was not at the head of its lane ends without consequences.
 */
export async function advanceLanes(tx: Tx, ended: readonly Ended[]): Promise<DueRow[]> {
  if (ended.length === 0) return []
  const heads = await lockHeads(tx, ended)
  const due: DueRow[] = []
  for (let left = heads; left.length > 0; ) {
    const steps = await advance(tx, left)
    for (const { next, endpoint, moved } of steps)
      if (next !== null && moved) due.push({ id: next, endpoint, firstAttempt: true })
    // The one whose turn it would have been was cancelled that very moment: then it is the next one's.
    left = steps.filter(({ next, moved }) => next !== null && !moved)
  }
  return due
}

/** Lanes that are blocked by a delivery that failed, at endpoints that do not wait for such any more: some of them. */
export async function blockedLanes(tx: Tx, endpoints: readonly EndpointId[], most: number): Promise<Ended[]> {
  return tx<Ended[]>`
    select endpoint_id as endpoint, lane, head as delivery from postrider.lanes
    join postrider.endpoints endpoint on endpoint.id = endpoint_id
    where endpoint_id = any(${endpoints as never}::uuid[]) and blocked and on_blocked = 'SKIP_AFTER_FAILED' limit ${most}`
}

/** Notes lanes whose head has failed for good, so that they are found should their endpoint no longer wait for it. */
export async function blockLanes(tx: Tx, blocking: readonly Ended[]): Promise<void> {
  if (blocking.length === 0) return
  const heads = await lockHeads(tx, blocking)
  const [endpoints, names] = columnsOf(heads)
  await tx`update postrider.lanes set blocked = true
    where (endpoint_id, lane) in (select * from unnest(${endpoints}::uuid[], ${names}::text[]))`
}

export type Headless = Lane & { first: DeliveryId }

/** Lanes without a head although somebody waits in them, and who is first there. There should be none. */
export function headlessLanes(tx: Tx, most: number): Promise<Headless[]> {
  return tx<Headless[]>`
    select * from (
      select endpoint_id as endpoint, lane, (
        select id from postrider.deliveries
        where endpoint_id = lanes.endpoint_id and deliveries.lane = lanes.lane and waiting_for = 'ORDER' order by sequence limit 1
      ) as first
      from postrider.lanes where head is null and endpoint_id = any(array(
        select id from postrider.endpoints where (
          select id from postrider.deliveries where endpoint_id = endpoints.id and waiting_for = 'ORDER' limit 1
        ) is not null
      ))
    ) lane where first is not null limit ${most}`
}

/** Gives such lanes their head, under the locks of their endpoints; returns those whose turn it is now. */
export async function giveHeads(tx: Tx, lanes: readonly Headless[]): Promise<DueRow[]> {
  if (lanes.length === 0) return []
  const [endpoints, names] = columnsOf(lanes)
  const rows = await tx<{ id: DeliveryId; endpoint: EndpointId }[]>`
    with headed as (
      update postrider.lanes set head = found.first
      from unnest(${endpoints}::uuid[], ${names}::text[], ${lanes.map(({ first }) => first) as never}::uuid[]) as found (endpoint, lane, first)
      where endpoint_id = found.endpoint and lanes.lane = found.lane and head is null returning head
    )
    update postrider.deliveries set waiting_for = 'ALLOWANCE' from headed
    where id = head and waiting_for = 'ORDER' returning id, endpoint_id as endpoint`
  return rows.map((row) => ({ ...row, firstAttempt: true }))
}

type Step = Lane & { low: string; next: DeliveryId | null; moved: boolean }

async function lockHeads(tx: Tx, ended: readonly Ended[]): Promise<(Lane & { low: string })[]> {
  const [endpoints, names] = columnsOf(ended)
  const rows = await tx<Ended[]>`
    select endpoint_id as endpoint, lanes.lane, head as delivery from postrider.lanes
    join unnest(${endpoints}::uuid[], ${names}::text[], ${ended.map(({ delivery }) => delivery) as never}::uuid[]) as ended (endpoint, lane, delivery)
      on endpoint_id = ended.endpoint and lanes.lane = ended.lane and head = ended.delivery
    order by endpoint_id, lanes.lane for update of lanes`
  // What is next in a lane was nearly always published later than its head, or a little earlier, by a transaction that took its
  // time: a look at two or three days instead of all. Only where nothing is found there, all are looked at.
  return rows.map(({ endpoint, lane, delivery }) => ({ endpoint, lane, low: lowestIdAt(timeOf(delivery) - DAY_MS) }))
}

function nextAmong(tx: Tx, days: ReturnType<Tx>) {
  return tx`select id from postrider.deliveries
    where endpoint_id = endpoint and deliveries.lane = ended.lane and waiting_for = 'ORDER' ${days} order by sequence limit 1`
}

/** A statement of its own: it sees what those who held the locks before have put into the lanes. */
function advance(tx: Tx, lanes: readonly (Lane & { low: string })[]): Promise<Step[]> {
  const [endpoints, names] = columnsOf(lanes)
  return tx<Step[]>`
    with upcoming as materialized (
      select endpoint, lane, low, coalesce((${nextAmong(tx, tx`and id >= low`)}), (${nextAmong(tx, tx``)})) as next
      from unnest(${endpoints}::uuid[], ${names}::text[], ${lanes.map(({ low }) => low) as never}::uuid[]) as ended (endpoint, lane, low)
    ), moved as (
      update postrider.deliveries set waiting_for = 'ALLOWANCE' from upcoming
      where id = next and waiting_for = 'ORDER' returning id
    ), headed as (
      update postrider.lanes set head = moved.id, blocked = false
      from upcoming left join moved on moved.id = next
      where lanes.endpoint_id = endpoint and lanes.lane = upcoming.lane
    )
    select endpoint, lane, low, next, moved.id is not null as moved from upcoming left join moved on moved.id = next`
}

function columnsOf(lanes: readonly Lane[]): [endpoints: never, names: never] {
  return [lanes.map(({ endpoint }) => endpoint) as never, lanes.map(({ lane }) => lane) as never]
}
