import { type Allowance, nextSlot, placesOf } from '../deliveries/admission.ts'

/** How many deliveries a replay may hand over to an endpoint now: with tickets at once, and to wait in their line. */
export type ReplayRoom = { tickets: number; slots: Date[] | null; waiting: number }

/** What all replays together have at the endpoint already. */
export type Replayed = { ticketed: number; waiting: number }

// With a rate, the next event waits behind slots that are given out ahead: for so long at most.
const SLOTS_AHEAD_MS = 250

/**
 * Replays together have at most half of what an endpoint may have under way, so that new events find the other half free,
 * and nothing ever waits because of a replay. Where a backlog stands, that many wait in their own line, which is served
 * last. Where nothing is sent to, rows wait as they like: they cost nobody anything, and the replay comes to its end.
 */
export function replayRoom(allowance: Allowance, own: Replayed, most: number, now: Date): ReplayRoom {
  const nothing = { tickets: 0, slots: null, waiting: 0 }
  if (allowance.deleted) return nothing
  if (allowance.state !== 'ACTIVE') return { ...nothing, waiting: most }
  const share = Math.max(1, Math.floor(allowance.maxInFlight / 2))
  const left = Math.max(0, Math.min(most, share - own.ticketed - own.waiting))
  if (allowance.backlog) return { ...nothing, waiting: left }
  const { places, slots } = placesOf(allowance, Math.min(left, atRate(allowance, now)), now)
  return { tickets: places, slots, waiting: 0 }
}

function atRate({ ratePerSecond, nextSlotAt }: Allowance, now: Date): number {
  if (ratePerSecond === null) return Number.POSITIVE_INFINITY
  if (nextSlot(ratePerSecond, nextSlotAt, now) > now) return 0
  return Math.max(1, Math.floor((ratePerSecond * SLOTS_AHEAD_MS) / 1000))
}
