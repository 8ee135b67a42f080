import type { TenantId } from '../../schema/ids.ts'

/**
 * How many requests a worker has in flight. A request that waits for its receiver longer than `PATIENCE_MS` costs a socket
 * and nothing else, so it stops counting: receivers that hang do not use up the worker. Sockets have a bound of their own.
 */
export type Slots = {
  /** Takes a slot for a tenant's request and returns how to give it back; null where there is none, or none for this tenant. */
  take(tenant: TenantId): (() => void) | null
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
// Where most sockets are open, who has many of them gets no more: one tenant with very many receivers that hang kept another
// one waiting for 8 s, until they timed out. A tenant that is alone can use three quarters.
const CROWDED_SHARE = 0.75
const TENANT_SHARE = 0.25

export function createSlots(concurrency: number, onFreed: () => void): Slots {
  let counted = 0
  let open = 0
  let closed = false
  let whenEmpty: (() => void) | null = null
  const sockets = concurrency * SOCKETS_PER_SLOT
  const ofTenant = new Map<TenantId, number>()

  const free = () => Math.min(concurrency - counted, sockets - open)
  const changed = () => {
    if (open === 0) whenEmpty?.()
    if (!closed) onFreed()
  }

  return {
    free,
    freeForAny: () => free() - Math.floor(concurrency * KEPT_SHARE),
    take(tenant) {
      const own = ofTenant.get(tenant) ?? 0
      if (open >= sockets || (open >= sockets * CROWDED_SHARE && own >= sockets * TENANT_SHARE)) return null
      ofTenant.set(tenant, own + 1)
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
        const left = (ofTenant.get(tenant) ?? 1) - 1
        if (left === 0) ofTenant.delete(tenant)
        else ofTenant.set(tenant, left)
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
