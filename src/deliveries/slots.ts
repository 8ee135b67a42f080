import type { EndpointId, TenantId } from '../../schema/ids.ts'
import { SHALLOW } from './admission.ts'

/**
 * How many requests a worker has in flight. A request that waits for its receiver longer than `PATIENCE_MS` costs a socket
 * and nothing else, so it stops counting: receivers that hang do not use up the worker. Sockets have a bound of their own.
 */
export type Slots = {
  /** Takes a slot for a request and returns how to give it back; null where there is none, or none for this tenant or endpoint. */
  take(tenant: TenantId, endpoint: EndpointId): (() => void) | null
  free(): number
  /** Free slots without those kept for the first deliveries of each endpoint. */
  freeForAny(): number
  /** Resolves when nothing is in flight, or at the deadline. */
  empty(deadline: Date): Promise<void>
  close(): void
}

const PATIENCE_MS = 250
const SOCKETS_PER_SLOT = 8
// A quarter is kept for the first few deliveries of each endpoint, so that a burst of slow ones cannot fill everything.
const KEPT_SHARE = 0.25
// Where many sockets are open, a tenant that has a good part of them gets more for the first few requests of each endpoint
// only, and in the end for nothing: one with very many receivers that hang kept another one waiting for 8 s, until they timed out.
const CROWDED_SHARE = 0.75
const FULL_SHARE = 0.875
const TENANT_SHARE = 0.25

export function createSlots(concurrency: number, onFreed: () => void): Slots {
  let counted = 0
  let open = 0
  let closed = false
  let whenEmpty: (() => void) | null = null
  const sockets = concurrency * SOCKETS_PER_SLOT
  const openOf = createCounts()
  const mayTake = (tenant: TenantId, endpoint: EndpointId) => {
    if (open >= sockets) return false
    if (open < sockets * CROWDED_SHARE || openOf.count(tenant) < sockets * TENANT_SHARE) return true
    return open < sockets * FULL_SHARE && openOf.count(endpoint) < SHALLOW
  }

  const free = () => Math.min(concurrency - counted, sockets - open)
  const changed = () => {
    if (open === 0) whenEmpty?.()
    if (!closed) onFreed()
  }

  return {
    free,
    freeForAny: () => free() - Math.floor(concurrency * KEPT_SHARE),
    take(tenant, endpoint) {
      if (!mayTake(tenant, endpoint)) return null
      openOf.add(tenant, endpoint)
      counted++
      open++
      let counts = true
      const stopCounting = () => {
        if (!counts) return
        counts = false
        counted--
        changed()
      }
      const timer = setTimeout(stopCounting, PATIENCE_MS)
      return () => {
        clearTimeout(timer)
        open--
        openOf.remove(tenant, endpoint)
        if (counts) stopCounting()
        else changed()
      }
    },
    async empty(deadline) {
      if (open === 0) return
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        whenEmpty = resolve
        timer = setTimeout(resolve, Math.max(0, deadline.getTime() - Date.now()))
      })
      clearTimeout(timer)
    },
    close() {
      closed = true
    },
  }
}

/** Counts by id; an id with nothing open takes no memory. */
function createCounts() {
  const counts = new Map<string, number>()
  const change = (id: string, by: number) => {
    const count = (counts.get(id) ?? 0) + by
    if (count === 0) counts.delete(id)
    else counts.set(id, count)
  }
  return {
    count: (id: string) => counts.get(id) ?? 0,
    add: (...ids: string[]) => {
      for (const id of ids) change(id, 1)
    },
    remove: (...ids: string[]) => {
      for (const id of ids) change(id, -1)
    },
  }
}
