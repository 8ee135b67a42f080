import { type EventId, publicId } from '../../schema/ids.ts'
import type { PayloadFormat } from '../../schema/states.ts'
import { findEvents, findPayloads } from '../events/find.ts'
import { Mistake } from '../mistake.ts'
import type { Orm } from '../postgres/client.ts'
import type { Reach } from '../tenants/access.ts'
import { findTenants } from '../tenants/find.ts'
import { formatEvent } from './formats.ts'

/** What the body of an attempt is made of. */
export type SentBody = { eventId: EventId; format: PayloadFormat }

// XML is some ten times as large as what it is made of, and one answer may hold hundreds.
const MOST_BYTES_AT_ONCE = 64 * 1024 * 1024

/**
 * The bodies that attempts carry, in their order. They are not stored with every attempt: an event never changes, so that
 * what is built from it now is, byte for byte, what was signed and sent then. Null where the payload is gone.
 */
export async function findSentBodies(orm: Orm, reach: Reach, wanted: readonly SentBody[]): Promise<(string | null)[]> {
  const ids = [...new Set(wanted.map(({ eventId }) => eventId))]
  const [events, payloads] = await Promise.all([findEvents(orm, reach, ids), findPayloads(orm, reach, ids)])
  const tenants = await findTenants(orm, reach, [...new Set(events.map(({ tenantId }) => tenantId))])
  const eventOf = new Map(events.map((event) => [event.id, event]))
  const payloadOf = new Map(payloads.map(({ id, payload }) => [id, payload]))
  const keyOf = new Map(tenants.map(({ id, key }) => [id, key]))
  const made = new Map<string, string>()
  let bytes = 0
  const make = ({ eventId, format }: SentBody): string | null => {
    const [event, payload] = [eventOf.get(eventId), payloadOf.get(eventId)]
    const tenant = event && keyOf.get(event.tenantId)
    if (event === undefined || tenant === undefined || payload === undefined) return null
    const { type, version, occurredAt, isTest } = event
    const source = { id: publicId('evt', eventId), type, version, createdAt: occurredAt, tenant, isTest, payload }
    const { body } = formatEvent(format, source)
    bytes += body.length
    if (bytes <= MOST_BYTES_AT_ONCE) return body.toString()
    throw new Mistake(
      'TOO_MUCH_TO_READ',
      [],
      'The bodies of these attempts are too large for one answer: ask for fewer.',
    )
  }
  return wanted.map((each) => {
    const name = `${each.eventId} ${each.format}`
    const body = made.get(name) ?? make(each)
    if (body !== null) made.set(name, body)
    return body
  })
}
