import type { Sql } from '../postgres/client.ts'
import type { Claim } from '../queue/tickets.ts'
import type { Sealer } from '../sealing/sealer.ts'
import { SHALLOW_PRIORITY } from './admission.ts'
import type { DeliverTicket } from './admit.ts'
import { hold } from './hold.ts'
import { type Prepared, prepare } from './prepare.ts'
import { failInternally, type SendContext, send } from './send.ts'
import type { SettleBuffer, SettleBufferContext } from './settle-buffer.ts'
import { createSlots, type Slots } from './slots.ts'

export type DispatcherContext = Omit<SettleBufferContext, 'onRetryScheduled' | 'onSettled'> &
  SendContext & { sql: Sql; sealer: Sealer; concurrency: number; settling: SettleBuffer }

export type Dispatcher = {
  /** There may be something to claim. */
  nudge(): void
  /** Results were settled: there may be room for more. */
  roomFreed(): void
  /** Claims nothing more and waits for what is in flight, until `deadline`. */
  stop(deadline: Date): Promise<void>
}

// The truth behind the wake-ups: a lost one costs at most this.
const POLL_MS = 2000
// Claiming for each freed slot would be a statement per delivery; for this many, or after this long, it is not.
const WORTHWHILE_SLOTS = 32
const LINGER_MS = 5
const PAUSE_AFTER_ERROR_MS = 500

/**
 * Claims tickets for its free slots and sends. Claiming, sending and settling are separate streams: a batch never waits
 * for its slowest request, and no transaction is open while the network is.
 */
export function createDispatcher(context: DispatcherContext): Dispatcher {
  const { concurrency, settling, log } = context
  const worthwhile = Math.min(WORTHWHILE_SLOTS, Math.ceil(concurrency / 2))
  const slots = createSlots(concurrency, () => roomFreed())
  // Results that cannot be settled must not pile up without bound: then nothing more is claimed.
  const unsettledRoom = () => 4 * concurrency - settling.size()
  const roomy = () => Math.min(slots.freeForAny(), unsettledRoom()) >= worthwhile
  const patience = createPatience()
  const roomFreed = () => {
    if (roomy()) patience.enough()
  }
  let stopping = false
  let nudged = true

  const run = async () => {
    while (!stopping) {
      nudged = false
      try {
        const more = await claimAndSend(context, slots, unsettledRoom())
        if (stopping) return
        if (more && !roomy()) await (nudged ? patience.linger() : patience.forRoomOrNews())
        else if (!more && !nudged) await patience.forNews()
      } catch (err) {
        log.error({ err }, 'Tickets could not be claimed; trying again')
        await new Promise((resolve) => setTimeout(resolve, PAUSE_AFTER_ERROR_MS))
      }
    }
  }
  const running = run()

  return {
    nudge() {
      nudged = true
      patience.news()
    },
    roomFreed,
    async stop(deadline) {
      stopping = true
      patience.news()
      patience.enough()
      slots.close()
      await running
      await slots.empty(deadline)
    },
  }
}

/** How the loop waits: for news, for a worthwhile number of free slots, or for a while. */
function createPatience() {
  let news = () => {}
  let enough = () => {}
  const pause = (ms: number, until: (end: () => void) => void) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      until(() => {
        clearTimeout(timer)
        resolve()
      })
    }).finally(() => {
      news = enough = () => {}
    })
  return {
    news: () => news(),
    enough: () => enough(),
    forNews: () => pause(POLL_MS, (end) => (news = end)),
    forRoomOrNews: () => pause(POLL_MS, (end) => (news = enough = end)),
    // There are tickets, and hardly a slot: a few more free ones, and one claim takes many.
    linger: () => pause(LINGER_MS, (end) => (enough = end)),
  }
}

/** Claims once and sends; says whether there may be more to claim. */
async function claimAndSend(context: DispatcherContext, slots: Slots, unsettledRoom: number): Promise<boolean> {
  const any = slots.freeForAny()
  const most = Math.min(any > 0 ? any : slots.free(), unsettledRoom)
  if (most <= 0) return true
  const priority = any > 0 ? {} : { leastPriority: SHALLOW_PRIORITY }
  const { claims, more } = await context.tickets.claim<DeliverTicket>('deliver', most, priority)
  if (claims.length > 0) await dispatch(context, claims, (prepared) => launch(context, slots, prepared))
  return more || (any <= 0 && claims.length === 0)
}

/** Sends without waiting for it; whatever comes of it is settled. */
function launch(context: DispatcherContext, slots: Slots, prepared: Prepared): void {
  const release = slots.take()
  void send(context, prepared)
    .catch((err) => {
      context.log.error({ err, delivery: prepared.delivery.id }, 'A delivery could not be sent')
      return failInternally(context, prepared)
    })
    .then((sent) => {
      release()
      context.settling.add(sent)
    })
}

async function dispatch(
  context: DispatcherContext,
  claims: Claim<DeliverTicket>[],
  launch: (prepared: Prepared) => void,
): Promise<void> {
  const { sql, sealer, clock, tickets, settling, log } = context
  let batch: Awaited<ReturnType<typeof prepare>>
  try {
    batch = await prepare(sql, sealer, clock, claims)
  } catch (error) {
    await tickets.release('deliver', claims).catch((err) => log.debug({ err }, 'Claims will lapse'))
    throw error
  }
  batch.ready.forEach(launch)
  for (const { prepared, error } of batch.broken) {
    log.error({ err: error, delivery: prepared.delivery.id }, 'A delivery could not be prepared')
    settling.add(failInternally(context, prepared))
  }
  await hold(context, batch)
}
