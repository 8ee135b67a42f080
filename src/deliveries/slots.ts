/**
 * How many requests a worker has in flight. A request that waits for its receiver longer than `PATIENCE_MS` costs a socket
 * and nothing else, so it stops counting: receivers that hang do not use up the worker. Sockets have a bound of their own.
 */
export type Slots = {
  /** Takes a slot and returns how to give it back. */
  take(): () => void
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

export function createSlots(concurrency: number, onFreed: () => void): Slots {
  let counted = 0
  let open = 0
  let closed = false
  let whenEmpty: (() => void) | null = null

  const free = () => Math.min(concurrency - counted, concurrency * SOCKETS_PER_SLOT - open)
  const changed = () => {
    if (open === 0) whenEmpty?.()
    if (!closed) onFreed()
  }

  return {
    free,
    freeForAny: () => free() - Math.floor(concurrency * KEPT_SHARE),
    take() {
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
