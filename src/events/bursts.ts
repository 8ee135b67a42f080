import type { TenantId } from '../../schema/ids.ts'

/** Priorities of outbox tickets: everybody's events go before those of a tenant that publishes very many at once. */
export const [ORDINARY, BURST] = [1, 0] as const

/**
 * Which tenants publish so much that everybody else's events are routed before theirs. Each has a bucket that leaks: what a
 * tenant publishes all day long is no burst, ten thousand events at once are.
 */
export type Bursts = {
  /** Counts some events of a tenant; says whether it is in a burst. */
  add(tenant: TenantId, events: number, nowMs: number): boolean
}

// About a third of what one router takes in a second (6,000 events on 2 cores, with everything else on the same machine).
const LEAK_PER_SECOND = 2000
const CAPACITY = 2000
const MOST_TENANTS = 10_000

export function createBursts(): Bursts {
  const buckets = new Map<TenantId, { level: number; at: number }>()
  return {
    add(tenant, events, nowMs) {
      const bucket = buckets.get(tenant)
      const leaked = bucket ? ((nowMs - bucket.at) / 1000) * LEAK_PER_SECOND : 0
      const level = Math.max(0, (bucket?.level ?? 0) - leaked) + events
      if (buckets.size >= MOST_TENANTS && bucket === undefined) buckets.clear()
      buckets.set(tenant, { level, at: nowMs })
      return level > CAPACITY
    },
  }
}
