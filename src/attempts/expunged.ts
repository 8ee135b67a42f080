import type { EventId } from '../../schema/ids.ts'
import type { Tx } from '../postgres/client.ts'
import type { NewAttempt } from './record.ts'

/**
 * Leaves out of attempts what may echo the payload of their event, where that was expunged while they were made: the
 * response's body and headers, and advice that quotes where a redirect points to. The other events are locked: who expunges
 * one of them after this waits for the commit, and then finds these attempts. Nobody is waited for, so that it may be asked
 * behind any lock: an event that somebody else changes at this moment is taken for one that is being expunged.
 */
export async function withoutEchoes(tx: Tx, attempts: readonly NewAttempt[]): Promise<NewAttempt[]> {
  const events = [...new Set(attempts.filter(mayEcho).map(({ eventId }) => eventId as EventId))].sort()
  if (events.length === 0) return [...attempts]
  const rows = await tx<{ id: EventId }[]>`
    select id from postrider.events
    where id = any(${events as never}::uuid[]) and id between ${events[0] as string} and ${events.at(-1) as string}
      and expunged_at is null
    for share skip locked`
  const kept = new Set(rows.map(({ id }) => id))
  return attempts.map((attempt) => (kept.has(attempt.eventId as EventId) ? attempt : withoutEcho(attempt)))
}

const mayEcho = ({ responseBody, responseHeaders }: NewAttempt) => responseBody !== null || Boolean(responseHeaders)

function withoutEcho(attempt: NewAttempt): NewAttempt {
  const errorMessage = isRedirect(attempt) ? null : attempt.errorMessage
  return {
    ...attempt,
    responseBody: null,
    responseHeaders: null,
    ...(errorMessage === undefined ? {} : { errorMessage }),
  }
}

const isRedirect = ({ status }: NewAttempt) => status !== null && status !== undefined && status >= 300 && status <= 399
