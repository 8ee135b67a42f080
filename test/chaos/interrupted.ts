import { type Claim, claimKey, type Fault, type History } from './history.ts'

/** Why a claim may have ended without its result: what it had sent may be sent once more. */
export type Interruption = 'fault' | 'lapsed' | 'late'

/** The claims that a fault found in flight: those of its process that stood, or were taken just then. */
export function inFlightAt({ process, at, readAt, held }: Fault, claims: readonly Claim[]): Claim[] {
  return claims.filter(
    (claim) =>
      (process === null || claim.process === process) &&
      claim.asked <= at &&
      (held.has(claimKey(claim)) || claim.at >= readAt),
  )
}

/**
 * Claims of each delivery that were interrupted: in flight at a fault; or lapsed, because whoever held it was not done in
 * time; or answered after their deadline. The last two come of faults elsewhere (a stopped process holds a lock, a busy
 * machine), and are told apart so that they are seen.
 */
export function interruptions(history: History): Map<string, Map<string, Interruption>> {
  const found = new Map<string, Map<string, Interruption>>()
  const note = (claim: Claim, why: Interruption) => {
    const ofDelivery = found.get(claim.delivery) ?? new Map<string, Interruption>()
    found.set(claim.delivery, ofDelivery)
    if (!ofDelivery.has(claimKey(claim))) ofDelivery.set(claimKey(claim), why)
  }
  for (const fault of history.faults) for (const claim of inFlightAt(fault, history.claims)) note(claim, 'fault')
  for (const claim of lapsed(history)) note(claim, 'lapsed')
  for (const claim of late(history)) note(claim, 'late')
  return found
}

/** Taken again by somebody, no sooner than a claim lasts. Taken sooner, it was taken from a living one: no excuse. */
function lapsed({ claims, claimMs }: History): Claim[] {
  return [...Map.groupBy(claims, ({ ticket }) => ticket).values()].flatMap((ofTicket) =>
    ofTicket.filter((claim) =>
      ofTicket.some((later) => later.retryCount > claim.retryCount && later.at >= claim.asked + claimMs),
    ),
  )
}

// Start times are by the database's clock, rounded to a millisecond, and the claim is noted after it was taken.
const CLOCKS_DIFFER_MS = 50

/** A request that timed out although the receiver answered every one of its delivery, which it never does slowly. */
function late({ rows, claims, receipts }: History): Claim[] {
  const pair = ({ endpoint, eventId }: { endpoint: string; eventId: string }) => `${endpoint} ${eventId}`
  const unanswered = new Set(receipts.filter(({ answer }) => answer === 'silence').map(pair))
  const answered = new Set(rows.deliveries.filter((row) => !unanswered.has(pair(row))).map(({ id }) => id))
  const claimsOf = Map.groupBy(claims, ({ delivery }) => delivery)
  return rows.attempts.flatMap(({ delivery, startedAt, errorClass }) => {
    if (errorClass !== 'TIMEOUT' || !answered.has(delivery)) return []
    const before = (claimsOf.get(delivery) ?? []).filter(({ at }) => at <= startedAt + CLOCKS_DIFFER_MS)
    return before.toSorted((a, b) => b.at - a.at).slice(0, 1)
  })
}
