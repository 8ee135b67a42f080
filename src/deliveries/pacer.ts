import type { EndpointId } from '../../schema/ids.ts'
import type { Log } from '../log.ts'
import { type Sql, toDate } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { farthestSlot, MOST_LATE_MS, slotAfter } from './admission.ts'
import type { Prepared } from './prepare.ts'

/** Holds deliveries to endpoints with a rate, in hand but not in flight, until their slot. */
export type Pacer = {
  /** False: it holds as many as it may, and this one is not held. `go` says whether there was room for it. */
  inItsSlot(prepared: Prepared, slot: Date, ratePerSecond: number, go: () => boolean): boolean
  /** Gives back what still waits for its slot. */
  close(): Promise<void>
}

export type PacerContext = {
  sql: Sql
  clock: Clock
  log: Log
  /** How many it holds at a time. */
  most: number
  giveBack(claim: Prepared['claim']): Promise<void>
}

// A little more than admission gives out ahead; the claim lasts a minute.
const MOST_AHEAD_MS = 3000
// Long before the claim lapses: whoever took it over would send it as well.
const LONGEST_HOLD_MS = 20_000

export function createPacer({ sql, clock, log, most, giveBack }: PacerContext): Pacer {
  const waiting = new Set<Promise<void>>()
  const closing = new AbortController()

  const wait = async (prepared: Prepared, first: Date, ratePerSecond: number, go: () => boolean) => {
    const heldSince = performance.now()
    for (let slot = first; ; slot = await laterSlot(sql, prepared.delivery.endpointId, ratePerSecond, clock.now())) {
      // Far away it is somebody else's to wait for: as a row, not in hand.
      const tooFar =
        slot.getTime() - clock.now().getTime() > MOST_AHEAD_MS || performance.now() - heldSince > LONGEST_HOLD_MS
      // What was read when it was claimed may be another matter now. Asked a moment before, so that no slot is missed for it.
      if (!tooFar) await until(new Date(slot.getTime() - MOST_LATE_MS), clock, closing.signal)
      if (tooFar || closing.signal.aborted || !(await mayStillGo(sql, prepared))) return giveBack(prepared.claim)
      await until(slot, clock, closing.signal)
      if (closing.signal.aborted) return giveBack(prepared.claim)
      if (clock.now().getTime() - slot.getTime() > MOST_LATE_MS) continue
      return go() ? undefined : giveBack(prepared.claim)
    }
  }

  return {
    inItsSlot(prepared, slot, ratePerSecond, go) {
      if (waiting.size >= most) return false
      const waited = wait(prepared, slot, ratePerSecond, go)
        .catch((err) => log.debug({ err }, 'A claim will lapse'))
        .finally(() => waiting.delete(waited))
      waiting.add(waited)
      return true
    },
    async close() {
      closing.abort()
      await Promise.all(waiting)
    },
  }
}

function until(slot: Date, clock: Clock, closing: AbortSignal): Promise<void> {
  const waitMs = slot.getTime() - clock.now().getTime()
  if (waitMs <= 0 || closing.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      closing.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, waitMs)
    closing.addEventListener('abort', end)
  })
}

/** Not cancelled, paused or deleted while it waited. */
async function mayStillGo(sql: Sql, { claim, delivery }: Prepared): Promise<boolean> {
  const rows = await sql`
    select from postrider.deliveries delivery join postrider.endpoints endpoint on endpoint.id = endpoint_id
    where delivery.id = ${delivery.id} and ticket_id = ${claim.id} and deleted_at is null
      and (endpoint.state = 'ACTIVE' or ${delivery.trigger === 'TEST'})`
  return rows.length > 0
}

/** A slot for one that has missed its own: behind all that were given out. */
async function laterSlot(sql: Sql, endpoint: EndpointId, ratePerSecond: number, now: Date): Promise<Date> {
  const spacingMs = slotAfter(now, ratePerSecond).getTime() - now.getTime()
  const [row] = await sql<{ next: string }[]>`
    update postrider.endpoints
    set next_slot_at = greatest(
      case when next_slot_at <= ${farthestSlot(ratePerSecond, now).toISOString()} then next_slot_at end, ${now.toISOString()}
    ) + ${spacingMs} * interval '1 millisecond'
    where id = ${endpoint} returning next_slot_at as next`
  return row === undefined ? now : new Date(toDate(row.next).getTime() - spacingMs)
}
