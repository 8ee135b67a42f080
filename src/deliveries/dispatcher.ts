import { publicId } from '../../schema/ids.ts'
import { createTrouble } from '../log.ts'
import type { Sql } from '../postgres/client.ts'
import type { Claim } from '../queue/tickets.ts'
import type { Sealer } from '../sealing/sealer.ts'
import type { DeliverTicket } from './admit.ts'
import { createFairness, type Fairness } from './fairness.ts'
import { hold } from './hold.ts'
import { createPacer, type Pacer } from './pacer.ts'
import { type Prepared, prepare } from './prepare.ts'
import { failInternally, type SendContext, send } from './send.ts'
import type { SettleBuffer, SettleBufferContext } from './settle-buffer.ts'
import { createSlots, type Slots } from './slots.ts'

export type DispatcherContext = Omit<SettleBufferContext, 'onRetryScheduled' | 'onSettled' | 'healthRules'> &
  SendContext & { sql: Sql; sealer: Sealer; concurrency: number; settling: SettleBuffer }

export type Dispatcher = {
  /** There may be something to claim. */
  nudge(): void
  /** Results were settled: there may be room for more. */
  roomFreed(): void
  /** Claims nothing more and waits for what is in flight, until `deadline`; what is left then is given back. */
  stop(deadline: Date): Promise<void>
}

// The truth behind the wake-ups: a lost one costs at most this.
const POLL_MS = 2000
// Claiming for each freed slot would be a statement per delivery; for this many, or after this long, it is not.
const WORTHWHILE_SLOTS = 32
const LINGER_MS = 5
const PAUSE_AFTER_ERROR_MS = 500
// Claims in hand that wait for their endpoint's slot, up to 256 KiB each: more would take the memory of everybody else.
const PACED_PER_SLOT = 4

/**
 * Claims tickets for its free slots and sends. Claiming, sending and settling are separate streams: a batch never waits
 * for its slowest request, and no transaction is open while the network is.
 */
export function createDispatcher(context: DispatcherContext): Dispatcher {
  const { concurrency, settling, log } = context
  const worthwhile = Math.min(WORTHWHILE_SLOTS, Math.ceil(concurrency / 2))
  const slots = createSlots(concurrency, () => roomFreed())
  const pacer = createPacer({
    ...context,
    most: concurrency * PACED_PER_SLOT,
    giveBack: (claim) => hold(context, { held: [claim], idle: [] }),
  })
  // Results that cannot be settled must not pile up without bound: then nothing more is claimed.
  const unsettledRoom = () => 4 * concurrency - settling.size()
  const roomy = () => Math.min(slots.freeForAny(), unsettledRoom()) >= worthwhile
  const inFlight = new Set<Prepared>()
  const patience = createPatience()
  const fair = createFairness()
  const roomFreed = () => {
    if (roomy()) patience.enough()
  }
  const claiming = createTrouble(log, {
    failing: 'Tickets could not be claimed; trying again',
    working: 'Tickets are claimed again',
  })
  let stopping = false
  let nudged = true

  const run = async () => {
    while (!stopping) {
      nudged = false
      try {
        const more = await claimAndSend({ ...context, slots, pacer, fair, inFlight }, unsettledRoom())
        claiming.over()
        if (stopping) return
        if (more && !roomy()) await (nudged ? patience.linger() : patience.forRoomOrNews())
        else if (!more && !nudged) await patience.forNews()
      } catch (err) {
        claiming.failed(err)
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
      await pacer.close()
      await slots.empty(deadline)
      await giveBack(context, inFlight)
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

type Sending = DispatcherContext & { slots: Slots; pacer: Pacer; fair: Fairness; inFlight: Set<Prepared> }

/** Claims once and sends; says whether there may be more to claim. */
async function claimAndSend(context: Sending, unsettledRoom: number): Promise<boolean> {
  const { slots, tickets, fair } = context
  const { most, priorities, everybodys } = fair.next(slots.free(), slots.freeForAny())
  const room = Math.min(most, unsettledRoom)
  if (room <= 0) return true
  const { claims, more } = await tickets.claim<DeliverTicket>('deliver', room, priorities)
  if (everybodys) fair.saw(more)
  if (claims.length > 0) await dispatch(context, claims)
  // After a claim that did not ask for all priorities there may be more of the others.
  return more || !everybodys
}

/** Sends without waiting for it, when its endpoint's rate allows; whatever comes of it is settled. False: there is no room for it. */
function launch(context: Sending, prepared: Prepared): boolean {
  const { claim, endpoint } = prepared
  if (claim.data.at === undefined || endpoint.ratePerSecond === null) return launchNow(context, prepared)
  return context.pacer.inItsSlot(prepared, new Date(claim.data.at), endpoint.ratePerSecond, () =>
    launchNow(context, prepared),
  )
}

function launchNow(context: Sending, prepared: Prepared): boolean {
  const release = context.slots.take(prepared.delivery.tenantId, prepared.delivery.endpointId)
  if (release === null) return false
  context.inFlight.add(prepared)
  void send(context, prepared)
    .catch((err) => {
      context.log.error({ err, delivery: publicId('dlv', prepared.delivery.id) }, 'A delivery could not be sent')
      return failInternally(context, prepared)
    })
    .then((sent) => {
      release()
      // Otherwise it was given back: it is somebody else's, and the end of our sockets is no failure of its receiver.
      if (context.inFlight.delete(prepared)) context.settling.add(sent)
    })
  return true
}

/** Others need not wait until the claims have lapsed. The receiver may see these twice. */
async function giveBack({ tickets, log }: DispatcherContext, inFlight: Set<Prepared>): Promise<void> {
  const claims = [...inFlight].map(({ claim }) => claim)
  inFlight.clear()
  if (claims.length === 0) return
  log.warn({ deliveries: claims.length }, 'Not answered in time: given back, to be sent again by the next process')
  await tickets.release('deliver', claims).catch((err) => log.debug({ err }, 'Claims will lapse'))
}

async function dispatch(context: Sending, claims: Claim<DeliverTicket>[]): Promise<void> {
  const { sql, sealer, clock, tickets, settling, log } = context
  let batch: Awaited<ReturnType<typeof prepare>>
  try {
    batch = await prepare(sql, sealer, clock, claims)
  } catch (error) {
    await tickets.release('deliver', claims).catch((err) => log.debug({ err }, 'Claims will lapse'))
    throw error
  }
  const refused = batch.ready.filter((prepared) => !launch(context, prepared)).map(({ claim }) => claim)
  for (const { prepared, error } of batch.broken) {
    log.error({ err: error, delivery: publicId('dlv', prepared.delivery.id) }, 'A delivery could not be prepared')
    settling.add(failInternally(context, prepared))
  }
  await hold(context, { idle: batch.idle, held: [...batch.held, ...refused] })
}
