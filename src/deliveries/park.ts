import { publicId } from '../../schema/ids.ts'
import { recordAttempts } from '../attempts/record.ts'
import type { Log } from '../log.ts'
import type { Sent } from './send.ts'
import type { SettleContext } from './settle.ts'

const PARKED_MS = 3_600_000
const NOT_RECORDED = 'Postrider could not record the whole of this attempt; its log says why.'

/** A result without what the receiver sent or we have noted: it says whether the delivery got there, and can be settled if anything can. */
export function bare(result: Sent): Sent {
  const attempt: Sent['attempt'] = {
    ...result.attempt,
    errorMessage: result.attempt.succeeded ? null : NOT_RECORDED,
    requestHeaders: '[]',
    responseHeaders: null,
    responseBody: null,
    remoteAddress: null,
  }
  return { ...result, attempt }
}

/**
 * Lets a delivery whose result cannot be settled by our own fault wait for an hour: it is tried again then, and shows the
 * attempt as INTERNAL, unless not even that can be recorded. The receiver may get it twice, and it is not lost.
 */
export async function park({ db, tickets, clock, log }: SettleContext & { log: Log }, result: Sent): Promise<void> {
  const { attempt, prepared } = bare(result)
  const failed = { succeeded: false, status: null, errorClass: 'INTERNAL' as const, errorMessage: NOT_RECORDED }
  const now = clock.now()
  await db.transaction(async (tx) => {
    const finished = await tickets.finish(tx, 'deliver', [prepared.claim])
    if (finished.size === 0) return
    await tx`
      update postrider.deliveries set ticket_id = null, requested_trigger = null, requested_at = null,
        replay_id = case state when 'PENDING' then replay_id end,
        waiting_for = case state when 'PENDING' then 'RETRY' end,
        next_attempt_at = case state when 'PENDING' then ${new Date(now.getTime() + PARKED_MS).toISOString()}::timestamptz end,
        attempts_made = attempts_made + 1
      where id = ${prepared.delivery.id} and ticket_id = ${prepared.claim.id}`
    const record = tx.savepoint(async (inner) => {
      await inner`update postrider.deliveries set last_attempt_id = ${attempt.id} where id = ${prepared.delivery.id}`
      await recordAttempts(inner, [{ ...attempt, ...failed }])
    })
    const delivery = publicId('dlv', prepared.delivery.id)
    await record.catch((err) => log.error({ err, delivery }, 'An attempt could not be recorded'))
  })
}
