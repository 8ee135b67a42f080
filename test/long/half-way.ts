import { expect, onTestFinished } from 'vitest'
import { type EndpointId, parsePublicId } from '../../schema/ids.ts'
import type { Db } from '../../src/postgres/client.ts'
import { insertSettled } from '../replays/rows.ts'
import { type Api, createEndpoint, databaseUrl, publish, startServer } from '../support/app.ts'
import { createDatabase, openDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { percentile95 } from '../support/latency.ts'
import { type Receiver, startReceiver } from '../support/receiver.ts'

/** Of the events that are replayed: of the new ones beside them it is another. */
const TYPE = 'invoice.paid'

/** The real server with an endpoint whose deliveries, so many of them, have all failed. */
export async function failedDeliveries(count: number) {
  const address = await createDatabase()
  const server = await startServer({ DATABASE_URL: databaseUrl(address) })
  const db = await openDatabase(address)
  const receiver = await startReceiver()
  onTestFinished(() => receiver.close())
  const endpoint = await createEndpoint(server.api, { url: receiver.url, retry: { delaysSeconds: [1, 1, 1] } })
  const endpointId = parsePublicId('ep', endpoint.id) as EndpointId
  await insertSettled(db, endpointId, count)
  return { server, api: server.api, db, receiver, endpoint: endpoint.id }
}

export type Replay = { id: string; state: string; total: number; redelivered: number; skipped: number }

const FIELDS = '{ id state total redelivered skipped }'

export async function startReplay(api: Api): Promise<Replay> {
  const { replayStart } = await api.ask<{ replayStart: { replay: Replay; userErrors: unknown[] } }>(
    `mutation { replayStart(input: { select: { deliveries: { states: [FAILED] } } }) { replay ${FIELDS} userErrors { message } } }`,
  )
  expect(replayStart.userErrors).toEqual([])
  return replayStart.replay
}

export async function readReplay(api: Api, id: string): Promise<Replay> {
  return (await api.ask<{ replay: Replay }>(`query ($id: ID!) { replay(id: $id) ${FIELDS} }`, { id })).replay
}

export async function cancelReplay(api: Api, id: string): Promise<void> {
  const { replayCancel } = await api.ask<{ replayCancel: { userErrors: unknown[] } }>(
    'mutation ($id: ID!) { replayCancel(id: $id) { userErrors { message } } }',
    { id },
  )
  expect(replayCancel.userErrors).toEqual([])
}

export function reaching(api: Api, id: string, expected: Partial<Replay>, withinMs: number): Promise<Replay> {
  return watched(api, id, withinMs, (replay) => expect(replay).toMatchObject(expected))
}

/** When it has handed over so many. */
export function past(api: Api, id: string, redelivered: number, withinMs: number): Promise<Replay> {
  return watched(api, id, withinMs, (replay) => expect(replay.redelivered).toBeGreaterThanOrEqual(redelivered))
}

/** Asks so rarely that it is no load of its own. */
function watched(api: Api, id: string, withinMs: number, holds: (replay: Replay) => void): Promise<Replay> {
  return eventually(async () => {
    const replay = await readReplay(api, id)
    try {
      holds(replay)
    } catch (error) {
      await new Promise((resolve) => setTimeout(resolve, 200))
      throw error
    }
    return replay
  }, withinMs)
}

/** When nothing is pending: how many deliveries are in each state, and how many attempts there were. */
function tally(db: Db): Promise<{ delivered: number; failed: number; attempts: number; recorded: number }> {
  return eventually(async () => {
    const [row] = await db.sql<{ pending: number; delivered: number; failed: number; attempts: number }[]>`
      select count(*) filter (where state = 'PENDING' or replay_id is not null)::int as pending,
        count(*) filter (where state = 'DELIVERED')::int as delivered, count(*) filter (where state = 'FAILED')::int as failed,
        coalesce(sum(attempts_made - 4), 0)::int as attempts
      from postrider.deliveries where event_type = ${TYPE}`
    const [{ recorded } = { recorded: -1 }] = await db.sql<{ recorded: number }[]>`
      select count(*)::int as recorded from postrider.attempts where trigger = 'REPLAY'`
    const { pending, ...counts } = row as NonNullable<typeof row>
    expect(pending).toBe(0)
    return { ...counts, recorded }
  }, 120_000)
}

type World = Pick<Awaited<ReturnType<typeof failedDeliveries>>, 'api' | 'db' | 'receiver'>

/** A replay that was cancelled has sent what it says, each once, and left the rest as it was. */
export async function expectCancelled({ api, db, receiver }: World, id: string, total: number): Promise<Replay> {
  const counts = await tally(db)
  const replay = await reaching(api, id, { state: 'CANCELLED', total, skipped: 0 }, 5000)
  const { redelivered } = replay
  expect(counts).toEqual({
    delivered: redelivered,
    failed: total - redelivered,
    attempts: redelivered,
    recorded: redelivered,
  })
  expect(receipts(receiver)).toEqual({ different: redelivered, all: redelivered })
  return replay
}

/** A replay that was interrupted and completed has missed nothing; answers how many came twice. */
export async function expectWhole({ db, receiver }: Omit<World, 'api'>, total: number): Promise<number> {
  expect(await tally(db)).toEqual({ delivered: total, failed: 0, attempts: total, recorded: total })
  const { different, all } = receipts(receiver)
  expect(different).toBe(total)
  // Half of the twenty that may be in flight.
  expect(all - different).toBeLessThanOrEqual(10)
  return all - different
}

/** How often each webhook-id of them came. */
export function receipts(receiver: Receiver): { different: number; all: number } {
  const ids = receiver.requests
    .filter(({ headers }) => headers['webhook-event'] === TYPE)
    .map(({ headers }) => headers['webhook-id'])
  return { different: new Set(ids).size, all: ids.length }
}

/** From the answer to a publish until its request is in, at the 95th percentile of so many events, in ms. */
export async function latencyOfNewEvents(api: Api, receiver: Receiver, events: number): Promise<number> {
  const took: number[] = []
  for (let i = 0; i < events; i++) {
    const id = await publish(api, { type: 'order.placed', payload: { i } })
    const answeredAt = Date.now()
    const request = await eventually(() => {
      const found = receiver.requests.findLast(({ headers }) => headers['webhook-id'] === id)
      if (!found) throw new Error(`${id} did not come`)
      return found
    })
    took.push(Math.max(0, request.receivedAt.getTime() - answeredAt))
  }
  return percentile95(took)
}
