import type { EventId } from '../../schema/ids.ts'
import type { Tx } from '../postgres/client.ts'
import type { NewAttempt } from './record.ts'

/** Leaves out the response bodies of attempts whose event was expunged while they were made: they may echo its payload. */
export async function withoutExpungedBodies(tx: Tx, attempts: readonly NewAttempt[]): Promise<NewAttempt[]> {
  const events = [...new Set(attempts.filter(hasBody).map(({ eventId }) => eventId as EventId))].sort()
  if (events.length === 0) return [...attempts]
  const rows = await tx<{ id: EventId }[]>`
    select id from postrider.events
    where id = any(${events as never}::uuid[]) and id between ${events[0] as string} and ${events.at(-1) as string}
      and expunged_at is not null`
  const expunged = new Set(rows.map(({ id }) => id))
  return attempts.map((attempt) =>
    expunged.has(attempt.eventId as EventId) ? { ...attempt, responseBody: null } : attempt,
  )
}

const hasBody = ({ responseBody }: NewAttempt) => responseBody !== null
