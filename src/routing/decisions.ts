import { setImmediate } from 'node:timers/promises'
import type { EndpointId, EventId, TenantId } from '../../schema/ids.ts'
import { createDecisions, type Decided, refusalWithoutPayload, type Wishes } from '../endpoints/decide.ts'
import type { Tx } from '../postgres/client.ts'
import { boundsOf } from '../postgres/time-range.ts'

/** An event as it is decided about. */
export type DecidedRow = {
  id: EventId
  tenantId: TenantId
  type: string
  version: string | null
  channels: readonly string[]
}

/** That an endpoint's filter could not be evaluated for an event. */
export type FilterFault<Event, Endpoint> = { event: Event; endpoint: Endpoint; message: string }

/** What was decided about an event; `putOff`: nothing, there was too much to do before. */
export type Decisions<Event, Endpoint> = {
  event: Event
  putOff: boolean
  matching: readonly Endpoint[]
  faults: readonly FilterFault<Event, Endpoint>[]
  steps: number
}

type Asked<Event, Endpoint> = {
  /** The endpoints that come into question. */
  candidates(event: Event): readonly Endpoint[]
  operations(event: Event): boolean
  /** Whether an event is not looked at now; asked only where a filter is to be evaluated. */
  putOff?(event: Event): boolean
}

// With payloads of a quarter of a megabyte they are 50 MB.
const MOST_PAYLOADS = 200
// Then somebody else has a turn in this process. By the clock, which decides nothing here: reading a filter takes no steps.
export const TURN_MS = 5

/** Decides about some events, one after another. Payloads are read for those only of which a filter asks something. */
export async function* decideEach<Event extends DecidedRow, Endpoint extends Wishes>(
  tx: Tx,
  events: readonly Event[],
  { candidates, operations, putOff = () => false }: Asked<Event, Endpoint>,
): AsyncGenerator<Decisions<Event, Endpoint>> {
  const shortlist = createShortlists(candidates, operations)
  let turn = performance.now()
  for (let at = 0; at < events.length; at += MOST_PAYLOADS) {
    const some = events.slice(at, at + MOST_PAYLOADS).map((event) => {
      const wanting = shortlist(event)
      return { event, wanting, asks: wanting.some(({ filter }) => filter !== null) }
    })
    const wanted = some.flatMap(({ event, asks }) => (asks && !putOff(event) ? [event.id] : []))
    const contents = await readContents(tx, wanted)
    for (const { event, wanting, asks } of some) {
      const none: Decisions<Event, Endpoint> = { event, putOff: false, matching: [], faults: [], steps: 0 }
      if (asks && putOff(event)) {
        yield { ...none, putOff: true }
        continue
      }
      if (!asks) {
        yield { ...none, matching: wanting }
        continue
      }
      const decisions = createDecisions(toDecide(event, operations(event), contents.get(event.id)))
      const matching: Endpoint[] = []
      const faults: FilterFault<Event, Endpoint>[] = []
      for (const endpoint of wanting) {
        const { refusal, fault } = decisions.decide(endpoint)
        if (refusal === null) matching.push(endpoint)
        if (fault !== null) faults.push({ event, endpoint, message: fault })
        if (performance.now() - turn < TURN_MS) continue
        await setImmediate()
        turn = performance.now()
      }
      yield { event, putOff: false, matching, faults, steps: decisions.steps() }
    }
  }
}

/** Whom nothing but a filter can refuse: looked for once for all events that are alike in what it depends on. */
function createShortlists<Event extends DecidedRow, Endpoint extends Wishes>(
  candidates: (event: Event) => readonly Endpoint[],
  operations: (event: Event) => boolean,
): (event: Event) => readonly Endpoint[] {
  const known = new Map<string, readonly Endpoint[]>()
  return (event) => {
    const key = JSON.stringify([event.tenantId, event.type, event.version, event.channels])
    const unread = toDecide(event, operations(event), undefined)
    const wanting =
      known.get(key) ?? candidates(event).filter((endpoint) => refusalWithoutPayload(unread, endpoint) === null)
    known.set(key, wanting)
    return wanting
  }
}

/** `payload`: null where it is gone. */
type Content = { payload: string | null; tenant: string }

/** An event with what its filters are told of it. One whose payload is gone has none that can be evaluated. */
export function toDecide(
  event: Omit<DecidedRow, 'id' | 'tenantId'> & { isTest?: boolean },
  operations: boolean,
  content: Content | undefined,
): Decided {
  const { type, version, channels, isTest = false } = event
  const payload = () => {
    if (typeof content?.payload !== 'string') throw new Error('The payload is gone')
    return JSON.parse(content.payload)
  }
  return { type, version, channels, isTest, operations, tenant: content?.tenant ?? '', payload }
}

/** The payloads of some events and the keys of their tenants, in one statement. */
export async function readContents(tx: Tx, ids: readonly EventId[]): Promise<Map<EventId, Content>> {
  if (ids.length === 0) return new Map()
  const { lowest, highest } = boundsOf(ids)
  const rows = await tx<(Content & { id: EventId })[]>`
    select event.id, payload.payload, tenant.key as tenant
    from postrider.events event
    join postrider.tenants tenant on tenant.id = event.tenant_id
    left join postrider.event_payloads payload on payload.id = event.id and payload.id between ${lowest} and ${highest}
    where event.id = any(${ids as never}::uuid[]) and event.id between ${lowest} and ${highest}`
  return new Map(rows.map((row) => [row.id, row]))
}

type Faulty = { id: EndpointId; tenantId: TenantId; filter: string | null }

/**
 * Notes which endpoints have filters that could not be evaluated, once for each of them. The last statement of its
 * transaction: nobody who waits for one of these rows holds up what is locked after them.
 */
export async function noteFaults(
  tx: Tx,
  faults: readonly FilterFault<{ id: EventId }, Faulty>[],
  now: Date,
): Promise<void> {
  if (faults.length === 0) return
  const groups = [...Map.groupBy(faults, ({ endpoint }) => endpoint.id)].map(([id, of]) => {
    const last = of.reduce((newest, one) => (one.event.id > newest.event.id ? one : newest))
    return { id, ...last, count: of.length }
  })
  const column = <T>(pick: (one: (typeof groups)[number]) => T) => groups.map(pick) as never
  // One that was changed meanwhile begins anew.
  await tx`
    insert into postrider.filter_faults as known (endpoint_id, tenant_id, count, event_id, message, at)
    select endpoint.id, endpoint.tenant_id, fault.count, fault.event_id, fault.message, ${now.toISOString()}
    from unnest(
      ${column(({ id }) => id)}::uuid[], ${column(({ endpoint }) => endpoint.filter)}::text[],
      ${column(({ count }) => count)}::bigint[], ${column(({ event }) => event.id)}::uuid[],
      ${column(({ message }) => message)}::text[]
    ) as fault (id, filter, count, event_id, message)
    join postrider.endpoints endpoint on endpoint.id = fault.id and endpoint.filter = fault.filter
    order by endpoint.id
    on conflict (endpoint_id) do update set
      count = known.count + excluded.count, event_id = excluded.event_id, message = excluded.message, at = excluded.at`
}
