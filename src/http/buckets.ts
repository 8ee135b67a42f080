/** Token buckets by name: each begins full, loses one by each `take`, and fills again at an even rate. */
export type Buckets = {
  /** Takes one. `waitMs` is 0 when there was one, else how long until there is; `left` is what can be taken at once. */
  take(name: string): { waitMs: number; left: number }
  /** Puts back what was taken for nothing. */
  giveBack(name: string): void
  /** How long until one can be taken; takes none. */
  waitMs(name: string): number
}

export type BucketOptions = {
  perSecond: number
  /** How many a full one holds: at least 1. */
  burst: number
  /** Monotonic, in milliseconds. */
  now(): number
  /** How many are remembered; beyond that, those that were used longest ago are as good as full. */
  most?: number
}

const MOST = 10_000

/** Remembers only what is not full: names that nobody uses cost nothing. */
export function createBuckets({ perSecond, burst, now, most = MOST }: BucketOptions): Buckets {
  const eachMs = 1000 / perSecond
  // When each is full again, in the order in which they were last used; a full one need not be remembered.
  const fullAt = new Map<string, number>()

  const missing = (name: string) => Math.max(0, (fullAt.get(name) ?? 0) - now())
  // A whole one is there: not a hair less, as by adding up fractions.
  const wait = (name: string) => Math.max(0, Math.ceil(missing(name) + eachMs - burst * eachMs - 1e-6))
  const set = (name: string, missingMs: number) => {
    fullAt.delete(name)
    if (missingMs <= 0) return
    if (fullAt.size >= most) forgetSome()
    fullAt.set(name, now() + missingMs)
  }
  const forgetSome = () => {
    for (const [name, at] of fullAt) if (at <= now()) fullAt.delete(name)
    for (const name of fullAt.keys()) {
      if (fullAt.size < most) return
      fullAt.delete(name)
    }
  }
  return {
    take(name) {
      const waitMs = wait(name)
      if (waitMs === 0) set(name, missing(name) + eachMs)
      return { waitMs, left: Math.max(0, Math.floor(burst - missing(name) / eachMs + 1e-6)) }
    },
    giveBack: (name) => set(name, missing(name) - eachMs),
    waitMs: wait,
  }
}
