import { type EventId, publicId } from '../../schema/ids.ts'
import { findEvents, findPayloads } from '../events/find.ts'
import type { Orm } from '../postgres/client.ts'
import type { Reach } from '../tenants/access.ts'
import { formatEnvelope } from './formats.ts'

/**
 * The bodies that attempts of these events carry. They are not stored with every attempt: an event never changes, so that
 * what is built from it now is, byte for byte, what was signed and sent then. Missing where the payload is gone.
 */
export async function findSentBodies(
  orm: Orm,
  reach: Reach,
  eventIds: readonly EventId[],
): Promise<{ id: EventId; body: string }[]> {
  const [events, payloads] = await Promise.all([findEvents(orm, reach, eventIds), findPayloads(orm, reach, eventIds)])
  const payloadOf = new Map(payloads.map(({ id, payload }) => [id, payload]))
  return events.flatMap((event) => {
    const payload = payloadOf.get(event.id)
    if (payload === undefined) return []
    const { type, version, occurredAt } = event
    const { body } = formatEnvelope({ id: publicId('evt', event.id), type, version, createdAt: occurredAt, payload })
    return [{ id: event.id, body: body.toString() }]
  })
}
