import { expect } from 'vitest'
import type { EndpointId, ReplayId, TenantId } from '../../schema/ids.ts'
import { findReplays, type Replay } from '../../src/replays/find.ts'
import { previewReplay } from '../../src/replays/preview.ts'
import type { ReplaySelectInput } from '../../src/replays/selection.ts'
import { cancelReplay, startReplay } from '../../src/replays/start.ts'
import { receiverOf } from '../egress/world.ts'
import { type EngineOptions, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import type { Receiver } from '../support/receiver.ts'
import { viewerOf } from '../support/viewer.ts'

/** An engine with a receiver, and short ways to replay. Deliveries fail for good after their first attempt. */
export async function replayWorld(options: EngineOptions & { maxInFlight?: number } = {}) {
  const engine = await startEngine({ replaysPerSecond: 2000, ...options })
  const receiver = await receiverOf()
  const endpoint = await engine.addEndpoint(receiver.url, {
    retryPolicy: { delaysSeconds: [] },
    ...(options.maxInFlight ? { maxInFlight: options.maxInFlight } : {}),
  })
  const replay = async (id: ReplayId) => (await findReplays(engine.db.orm, 'every', [id]))[0] as Replay
  return {
    engine,
    receiver,
    endpoint,
    replay,
    preview: (select: ReplaySelectInput, tenant: TenantId = engine.tenantId) => previewReplay(engine, tenant, select),
    start: async (select: ReplaySelectInput, tenant: TenantId = engine.tenantId) =>
      (await startReplay(engine, viewerOf(tenant), tenant, select)).id,
    cancel: (id: ReplayId, tenant: TenantId = engine.tenantId) => cancelReplay(engine, viewerOf(tenant), id),
    /** When nothing more will be done for it. */
    ended: (id: ReplayId, withinMs = 15_000) =>
      eventually(async () => {
        const row = await replay(id)
        expect(row).toMatchObject({ nextTurnAt: null })
        return row
      }, withinMs),
    /** When nothing is on its way, or waits for room. */
    quiet: (to: EndpointId = endpoint) =>
      eventually(async () => {
        const rows = await engine.deliveries(to)
        expect(rows.filter(({ ticketId, waitingFor }) => ticketId !== null || waitingFor === 'REPLAY')).toEqual([])
        return rows
      }, 15_000),
    /** Publishes, and waits until every one is settled. */
    async settled(count: number, to: EndpointId = endpoint) {
      await engine.publish(count)
      return eventually(async () => {
        const rows = await engine.deliveries(to)
        expect(rows.filter(({ settledAt }) => settledAt !== null)).toHaveLength(count)
        return rows
      }, 15_000)
    },
  }
}

export const idsOf = (receiver: Receiver, from = 0) =>
  receiver.requests.slice(from).map(({ headers }) => headers['webhook-id'] as string)
