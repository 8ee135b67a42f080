/** A number from 0 to below 1, the same ones in the same order for a seed. */
export type Random = () => number

/** mulberry32: small, and good enough to choose faults by. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export const FAULTS = ['api', 'worker', 'receiver', 'stop', 'session', 'backend', 'postmaster'] as const

/**
 * `api`, `worker`, `receiver`: that process is killed with -9, and started again. `stop`: a worker gets SIGSTOP, and SIGCONT
 * later. `session`: some sessions that are just publishing, routing or settling are terminated. `backend`: one of the server's
 * processes is killed with -9, so that Postgres restarts all of them. `postmaster`: with all of them, and is started again.
 */
export type FaultKind = (typeof FAULTS)[number]

/** `which`: one of the processes of that kind. `forMs`: how long it is gone, or stopped. */
export type Step = { atMs: number; kind: FaultKind; which: number; forMs: number }

/** How often each kind comes in a hand: of each at least once in 20 s. */
export type Hand = Partial<Record<FaultKind, number>>

export const EVERYTHING: Hand = { session: 6, worker: 2, receiver: 2, api: 1, stop: 1, backend: 1, postmaster: 1 }

export type PlanOptions = { seed: number; seconds: number; hand?: Hand; processes?: number }

/** How long a worker is stopped: well beyond its claims. */
export const STOP_MS = 10_000
const FIRST_MS = 1500
const HAND_MS = 15_000
const LONGEST_DOWN_MS = 1500

/** What is done when, from the seed alone: hands of faults, each in an order and at moments of its own. */
export function plan({ seed, seconds, hand = EVERYTHING, processes = 2 }: PlanOptions): Step[] {
  const random = createRandom(seed)
  const kinds = FAULTS.flatMap((kind) => Array.from({ length: hand[kind] ?? 0 }, () => kind))
  const steps: Step[] = []
  for (let handMs = FIRST_MS; handMs < seconds * 1000 && kinds.length > 0; handMs += HAND_MS) {
    const span = HAND_MS / kinds.length
    for (const [place, kind] of shuffle(kinds, random).entries()) {
      const atMs = Math.round(handMs + (place + random()) * span)
      const which = Math.floor(random() * processes)
      const downMs = Math.round(random() * LONGEST_DOWN_MS)
      steps.push({ atMs, kind, which, forMs: kind === 'stop' ? STOP_MS : downMs })
    }
  }
  return steps.filter(({ atMs }) => atMs < seconds * 1000)
}

function shuffle<T>(items: readonly T[], random: Random): T[] {
  const left = [...items]
  return items.map(() => left.splice(Math.floor(random() * left.length), 1)[0] as T)
}
