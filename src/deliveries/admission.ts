import type { EndpointState } from '../../schema/states.ts'

/**
 * Admission: who gets a ticket. An endpoint has at most `maxInFlight` living tickets in all processes together, and that
 * is what bounds its requests in flight. Everything else waits as a row and costs nobody anything.
 */
export type Allowance = {
  state: EndpointState
  deleted: boolean
  /** How many it may have under way: as configured, or fewer while it is given less. */
  maxInFlight: number
  /** How many of its deliveries have a ticket now. */
  ticketed: number
  /** More waits already: newcomers queue behind it. */
  backlog: boolean
  ratePerSecond: number | null
  /** With a rate: when the next request may go. Null: it has never been used. */
  nextSlotAt: Date | null
}

/** `slots`: with a rate, the moment of each admitted one. */
export type Admission = { admitted: number; backlog: boolean; slots: Date[] | null }

/** How many of `arriving` deliveries get a ticket at once, and whether the endpoint is in backlog afterwards. */
export function admit(allowance: Allowance, arriving: number, now: Date): Admission {
  if (allowance.backlog) return { admitted: 0, backlog: true, slots: null }
  const { places, slots } = placesOf(allowance, arriving, now)
  return { admitted: places, backlog: places < arriving, slots }
}

/** How many of `wanted` more tickets an endpoint may have, and when each of them goes if it has a rate. */
export function placesOf(allowance: Allowance, wanted: number, now: Date): { places: number; slots: Date[] | null } {
  const places = Math.min(wanted, roomOf(allowance))
  if (allowance.ratePerSecond === null) return { places, slots: null }
  const slots = slotsOf(allowance.ratePerSecond, allowance.nextSlotAt, places, now)
  return { places: slots.length, slots }
}

/** How many more tickets an endpoint may have. */
export function roomOf({ state, deleted, maxInFlight, ticketed }: Allowance): number {
  return state === 'ACTIVE' && !deleted ? Math.max(0, maxInFlight - ticketed) : 0
}

// Longer than the promoter's pause of a second, so that slots follow on each other; short, because what is given out ahead
// still goes when the endpoint is paused meanwhile.
const SLOTS_AHEAD_MS = 1500
/** A request may leave so late after its slot, and no later. */
export const MOST_LATE_MS = 50
// Slots are farther apart than the rate asks for by so much in every second: whatever the lateness here, and as much again on
// the way, no second at the receiver has more requests than the rate says.
const MARGIN_MS = 100

// Who has missed their slots take others behind all that were given out; farther ahead than that is only what a clock has left
// behind that was ahead for a moment, or a rate that was much lower.
const FARTHEST_SLOT_MS = 10_000

/** Up to when a slot may have been taken; whatever says a later one is as good as nothing. */
export function farthestSlot(ratePerSecond: number, now: Date): Date {
  return new Date(now.getTime() + FARTHEST_SLOT_MS + 2 * spacingMs(ratePerSecond))
}

/** When the next slot of an endpoint with a rate is: `now`, or later where slots were given out ahead. */
export function nextSlot(ratePerSecond: number, nextSlotAt: Date | null, now: Date): Date {
  const isTrue = nextSlotAt !== null && nextSlotAt > now && nextSlotAt <= farthestSlot(ratePerSecond, now)
  return isTrue ? nextSlotAt : now
}

/** The next slots of an endpoint with a rate, at most `most` and no farther ahead than is useful. */
function slotsOf(ratePerSecond: number, nextSlotAt: Date | null, most: number, now: Date): Date[] {
  const slots: Date[] = []
  let at = nextSlot(ratePerSecond, nextSlotAt, now).getTime()
  while (slots.length < most && at <= now.getTime() + SLOTS_AHEAD_MS) {
    slots.push(new Date(Math.ceil(at)))
    at += spacingMs(ratePerSecond)
  }
  return slots
}

/** When the slot after this one is. */
export function slotAfter(slot: Date, ratePerSecond: number): Date {
  return new Date(Math.ceil(slot.getTime() + spacingMs(ratePerSecond)))
}

function spacingMs(ratePerSecond: number): number {
  return (1000 + MARGIN_MS) / ratePerSecond
}

/**
 * How `room` is shared between the lines. What was asked for by hand goes first, somebody waits for it; then first attempts;
 * but each line keeps a quarter of the room for those behind it, or a steady stream would starve them. `chance` (0 to 1)
 * decides over what is no whole place. What replays send again comes last.
 */
export function shareRoom(
  room: number,
  requested: number,
  first: number,
  again: number,
  replayed: number,
  chance: number,
): { requested: number; first: number; again: number; replayed: number } {
  const keptFor = (behind: number, of: number) => Math.min(behind, Math.floor(of / 4 + chance))
  const byHand = Math.min(requested, room - keptFor(first + again + replayed, room))
  const left = room - byHand
  const taken = Math.min(first, left - keptFor(again + replayed, left))
  const rest = left - taken
  const retried = Math.min(again, rest - keptFor(replayed, rest))
  const last = Math.min(replayed, rest - retried)
  return { requested: byHand, first: taken, again: retried, replayed: last }
}

/** The first tickets of an endpoint go before everybody's later ones: a hanging endpoint's twentieth never delays another's first. */
export const SHALLOW = 2

export const SHALLOW_PRIORITY = 2
export const HIGHEST_PRIORITY = 3

/** A ticket's priority: the endpoint's first few before deeper ones; among equals first attempts before retries. */
export function priorityOf(depth: number, firstAttempt: boolean): number {
  return (depth < SHALLOW ? SHALLOW_PRIORITY : 0) + (firstAttempt ? 1 : 0)
}
