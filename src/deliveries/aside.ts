import { type DeliveryId, type EndpointId, publicId } from '../../schema/ids.ts'
import type { Log } from '../log.ts'
import type { Db } from '../postgres/client.ts'
import { boundsOf } from './admit.ts'
import type { Sent } from './send.ts'

/** Results whose endpoint or delivery somebody keeps locked wait here, so that nobody else's wait behind them. */
export type Aside = {
  /** Puts aside those of a batch that are locked, and returns the others. */
  take(batch: readonly Sent[]): Promise<Sent[]>
  /** Takes a result whose endpoint has others waiting here. */
  join(result: Sent): boolean
  size(): number
  close(): void
}

export type AsideContext = { db: Db; log: Log; onFreed(results: Sent[]): void }

const LOOK_MS = 1000
// An endpoint adds as many as it may have in flight whenever their claims have lapsed. What is too much is tried again.
const MOST = 1000

export function createAside({ db, log, onFreed }: AsideContext): Aside {
  let results: Sent[] = []
  let endpoints = new Set<EndpointId>()
  let timer: NodeJS.Timeout | null = null
  let closed = false

  const keep = (some: readonly Sent[]) => {
    const dropped = Math.max(0, some.length - MOST)
    if (dropped > 0)
      log.error({ dropped }, 'Too many results wait for locked endpoints; their deliveries are tried again')
    results = some.slice(dropped)
    endpoints = new Set(results.map(endpointOf))
    if (results.length > 0 && timer === null && !closed) timer = setTimeout(look, LOOK_MS)
  }
  const look = async () => {
    const looked = new Set(results)
    const held = await heldOf(db, results).catch(() => looked)
    timer = null
    const freed = results.filter((result) => looked.has(result) && !held.has(result))
    keep(results.filter((result) => !looked.has(result) || held.has(result)))
    if (freed.length > 0) onFreed(freed)
  }

  return {
    async take(batch) {
      const held = await heldOf(db, batch)
      const anew = new Set([...held].map(endpointOf).filter((endpoint) => !endpoints.has(endpoint)))
      for (const endpoint of anew)
        log.warn({ endpoint: publicId('ep', endpoint) }, 'Somebody keeps an endpoint locked; its results wait')
      keep([...results, ...[...held].map(withoutBody)])
      return batch.filter((result) => !held.has(result))
    },
    join(result) {
      if (!endpoints.has(endpointOf(result))) return false
      keep([...results, withoutBody(result)])
      return true
    },
    size: () => results.length,
    close() {
      closed = true
      if (timer) clearTimeout(timer)
    },
  }
}

const endpointOf = ({ prepared }: Sent): EndpointId => prepared.delivery.endpointId

/** What was sent, up to 256 KiB, is not needed to settle it. */
function withoutBody(result: Sent): Sent {
  return { ...result, prepared: { ...result.prepared, body: Buffer.alloc(0) } }
}

/** Those that cannot be settled without waiting for somebody's lock. */
async function heldOf({ sql }: Db, results: readonly Sent[]): Promise<Set<Sent>> {
  const endpoints = [...new Set(results.map(endpointOf))] as never
  const deliveries = results.map(({ prepared }) => prepared.delivery.id)
  const { lowest, highest } = boundsOf(deliveries)
  const held = await sql<{ id: EndpointId | DeliveryId }[]>`
    with free as materialized (
      select id from postrider.endpoints where id = any(${endpoints}::uuid[]) for no key update skip locked
    )
    select id from postrider.endpoints where id = any(${endpoints}::uuid[]) and id not in (select id from free)`
  const heldToo = await sql<{ id: EndpointId | DeliveryId }[]>`
    with free as materialized (
      select id from postrider.deliveries
      where id = any(${deliveries as never}::uuid[]) and id between ${lowest} and ${highest} for no key update skip locked
    )
    select id from postrider.deliveries
    where id = any(${deliveries as never}::uuid[]) and id between ${lowest} and ${highest} and id not in (select id from free)`
  const ids = new Set([...held, ...heldToo].map(({ id }) => id))
  return new Set(results.filter(({ prepared: { delivery } }) => ids.has(delivery.endpointId) || ids.has(delivery.id)))
}
