import type { Sql } from '../postgres/client.ts'
import type { Claim } from '../queue/tickets.ts'
import type { Sealer } from '../sealing/sealer.ts'
import { SHALLOW_PRIORITY } from './admission.ts'
import type { DeliverTicket } from './admit.ts'
import { hold } from './hold.ts'
import { type Prepared, prepare } from './prepare.ts'
import { failInternally, type SendContext, send } from './send.ts'
import type { SettleBuffer, SettleBufferContext } from './settle-buffer.ts'
import { createSlots } from './slots.ts'

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
  const { tickets, settling, concurrency, log } = context
  const worthwhile = Math.min(WORTHWHILE_SLOTS, Math.ceil(concurrency / 2))
  const slots = createSlots(concurrency, () => roomFreed())
  // Results that cannot be settled must not pile up without bound: then nothing more is claimed.
  const unsettledRoom = () => 4 * concurrency - settling.size()
  const roomy = () => Math.min(slots.freeForAny(), unsettledRoom()) >= worthwhile
  const roomFreed = () => {
    if (roomy()) enough()
  }
  let stopping = false
  let nudged = true
  let wakeUp = () => {}
  let enough = () => {}

  /** Waits for a nudge, for a worthwhile number of free slots where the caller lacks them, or for `ms`. */
  const pause = (ms: number, forSlots: boolean) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      const end = () => {
        clearTimeout(timer)
        resolve()
      }
      if (forSlots) enough = end
      if (ms === POLL_MS) wakeUp = end
    }).finally(() => {
      wakeUp = enough = () => {}
    })

  const launch = (prepared: Prepared) => {
    const release = slots.take()
    void send(context, prepared)
      .catch((err) => {
        log.error({ err, delivery: prepared.delivery.id }, 'A delivery could not be sent')
        return failInternally(context, prepared)
      })
      .then((sent) => {
        release()
        settling.add(sent)
      })
  }

  /** Claims once and sends; says whether there may be more to claim. */
  const claimAndSend = async (): Promise<boolean> => {
    const any = slots.freeForAny()
    const most = Math.min(any > 0 ? any : slots.free(), unsettledRoom())
    if (most <= 0) return true
    const priority = any > 0 ? {} : { leastPriority: SHALLOW_PRIORITY }
    const { claims, more } = await tickets.claim<DeliverTicket>('deliver', most, priority)
    if (claims.length > 0) await dispatch(context, claims, launch)
    return more || (any <= 0 && claims.length === 0)
  }

  const run = async () => {
    while (!stopping) {
      nudged = false
      try {
        const more = await claimAndSend()
        if (stopping) return
        if (more && !roomy()) await pause(nudged ? LINGER_MS : POLL_MS, true)
        else if (!more && !nudged) await pause(POLL_MS, false)
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
      wakeUp()
    },
    roomFreed,
    async stop(deadline) {
      stopping = true
      wakeUp()
      enough()
      slots.close()
      await running
      await slots.empty(deadline)
    },
  }
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
