import { publicId } from '../../schema/ids.ts'
import { createTrouble, type Log, type Trouble } from '../log.ts'
import { isLockTimeout, isTransient, lacksPartition } from '../postgres/unavailable.ts'
import type { Wake } from '../queue/wake.ts'
import { type Aside, createAside } from './aside.ts'
import { bare, park } from './park.ts'
import type { Sent } from './send.ts'
import { type SettleContext, settle } from './settle.ts'

export type SettleBuffer = {
  /** Takes a result; it is settled with others, soon. */
  add(result: Sent): void
  /** Results not settled yet, but for those whose endpoint is locked. The dispatcher stops claiming when they pile up. */
  size(): number
  /** Settles what is left and waits until it is done or `deadline` has come. */
  drain(deadline: Date): Promise<void>
}

export type SettleBufferContext = SettleContext & {
  log: Log
  wake: Wake
  onRetryScheduled(at: Date): void
  onSettled(): void
  /** How long results wait for the partition of their day. */
  partitionPatienceMs?: number
}

// A lone result waits this long for company; a full batch does not wait. Two flushes overlap: one works while the other
// waits for the disk.
const LINGER_MS = 10
const BATCH = 100
const FLUSHES_AT_ONCE = 2
const LONGEST_PAUSE_MS = 5000
// Partitions are made within a second or two, if they can be. After a minute the claims lapse, and everything is sent again.
const PARTITION_PATIENCE_MS = 20_000

export function createSettleBuffer(parts: SettleBufferContext): SettleBuffer {
  const trouble = createTrouble(parts.log, {
    failing: 'Results could not be settled; trying again',
    working: 'Results are settled again',
    level: 'warn',
  })
  const waiting: Sent[] = []
  const aside = createAside({
    ...parts,
    onFreed(results) {
      waiting.push(...results)
      flush()
    },
  })
  const context: Settling = { ...parts, trouble, aside }
  let underWay = 0
  let inFlush = 0
  let timer: NodeJS.Timeout | null = null
  let idle: (() => void) | null = null

  const flush = () => {
    if (timer) clearTimeout(timer)
    timer = null
    while (waiting.length > 0 && underWay < FLUSHES_AT_ONCE) {
      const batch = waiting.splice(0, BATCH)
      underWay++
      inFlush += batch.length
      void settleForSure(context, batch).finally(() => {
        underWay--
        inFlush -= batch.length
        context.onSettled()
        if (waiting.length >= BATCH) flush()
        else linger()
        if (isEmpty()) idle?.()
      })
    }
  }
  const isEmpty = () => inFlush === 0 && waiting.length === 0 && aside.size() === 0
  const linger = () => {
    if (waiting.length > 0 && timer === null) timer = setTimeout(flush, LINGER_MS)
  }

  return {
    add(result) {
      if (aside.join(result)) return
      waiting.push(result)
      if (waiting.length >= BATCH) flush()
      else linger()
    },
    size: () => waiting.length + inFlush,
    async drain(deadline) {
      flush()
      if (!isEmpty()) await until(deadline, (resolve) => (idle = resolve))
      aside.close()
    },
  }
}

async function until(deadline: Date, orUntil: (end: () => void) => void): Promise<void> {
  let timeout: NodeJS.Timeout | undefined
  await new Promise<void>((resolve) => {
    orUntil(resolve)
    timeout = setTimeout(resolve, Math.max(0, deadline.getTime() - Date.now()))
  })
  clearTimeout(timeout)
}

type Settling = SettleBufferContext & { trouble: Trouble; aside: Aside }

/**
 * Settles a batch, however long the database is away: the results exist nowhere else. A batch that cannot is split; what
 * somebody keeps locked is put aside.
 */
async function settleForSure(context: Settling, results: Sent[]): Promise<void> {
  const { partitionPatienceMs: patienceMs = PARTITION_PATIENCE_MS } = context
  const startedAt = performance.now()
  let batch = results
  for (let pauseMs = 100; batch.length > 0; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      const { admitted, nextRetryAt, news } = await settle(context, batch)
      context.trouble.over()
      context.wake.signal('attempts')
      if (admitted > 0) context.wake.signal('deliver')
      if (nextRetryAt) context.onRetryScheduled(nextRetryAt)
      if (news.length > 0) context.wake.signal('outbox')
      for (const { type, endpoint } of news)
        context.log.info({ type, endpoint: publicId('ep', endpoint.id) }, 'Announced')
      return
    } catch (error) {
      if (!isTransient(error)) return splitOrPark(context, batch, error)
      if (lacksPartition(error) && performance.now() - startedAt > patienceMs) return parkAll(context, batch, error)
      const all = batch.length
      if (isLockTimeout(error)) batch = await context.aside.take(batch).catch(() => batch)
      if (batch.length < all) continue
      context.trouble.failed(error, { results: all })
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }
}

/** A single one is settled without its details, or waits for an hour: nothing it brings about holds up the others. */
async function splitOrPark(context: Settling, batch: Sent[], error: unknown): Promise<void> {
  if (batch.length > 1) {
    const half = Math.ceil(batch.length / 2)
    await settleForSure(context, batch.slice(0, half))
    return settleForSure(context, batch.slice(half))
  }
  const [result] = batch as [Sent]
  const delivery = publicId('dlv', result.prepared.delivery.id)
  context.log.error({ err: error, delivery }, 'A result could not be settled; settling it without its details')
  try {
    await settle(context, [bare(result)])
    context.wake.signal('attempts')
  } catch (err) {
    await parkAll(context, batch, err)
  }
}

async function parkAll(context: Settling, batch: Sent[], err: unknown): Promise<void> {
  for (const result of batch) {
    const delivery = publicId('dlv', result.prepared.delivery.id)
    context.log.error({ err, delivery }, 'A result could not be settled; its delivery waits for an hour')
    // Should this fail as well, its claim lapses, and the delivery is tried again.
    await park(context, result).catch((err) => context.log.error({ err, delivery }, 'A delivery could not be parked'))
  }
}
