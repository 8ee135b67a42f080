import type { TenantId } from '../../schema/ids.ts'
import { deliveryIdOf, type EventId, publicId } from '../../schema/ids.ts'
import { recordActionIn } from '../audit/record.ts'
import { knownDeliveries } from '../deliveries/create.ts'
import { laneOf } from '../endpoints/matching.ts'
import { wrong } from '../input.ts'
import { Mistake } from '../mistake.ts'
import type { Db, Tx } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { again } from '../postgres/deadlock.ts'
import type { Tickets } from '../queue/tickets.ts'
import type { Wake } from '../queue/wake.ts'
import { reachOf, type Viewer } from '../tenants/access.ts'
import { createMatches } from './create.ts'
import { type DecidedRow, decideEach, noteFaults } from './decisions.ts'
import { stampMatched } from './matched.ts'
import { type Candidate, readCandidates } from './route.ts'

export type RouteAgainContext = {
  db: Db
  tickets: Tickets
  wake: Pick<Wake, 'signal'>
  clock: Clock
  operationsTenantId: TenantId
}

type Row = DecidedRow & {
  orderingKey: string | null
  isTest: boolean
  routed: boolean
  expunged: boolean
  noted: boolean
}

/**
 * Gives an event deliveries to the endpoints that want it now and have none; returns how many. They go in no lane: their place
 * there would come too late. Mistakes, at `id`: NOT_FOUND, PAYLOAD_GONE, INVALID_INPUT for a test and for one that is not routed yet.
 */
export async function routeAgain(context: RouteAgainContext, viewer: Viewer, id: EventId): Promise<number> {
  const created = await again(() => context.db.transaction((tx) => routeIn(tx, context, viewer, id)))
  if (created > 0) {
    context.wake.signal('deliver')
    context.wake.signal('promote')
  }
  return created
}

async function routeIn(
  tx: Tx,
  { tickets, clock, operationsTenantId }: RouteAgainContext,
  viewer: Viewer,
  id: EventId,
): Promise<number> {
  const event = await readEvent(tx, viewer, id)
  const endpoints = await readCandidates(tx, [event])
  const operations = event.tenantId === operationsTenantId
  const now = clock.now()
  const { matching, faults } = await decideOne(tx, event, endpoints, operations)
  // Those that go in a lane get it there, unless that has been done.
  const waits = (endpoint: (typeof matching)[number]) =>
    event.noted && laneOf(endpoint.ordering, event.orderingKey) !== null
  const matches = matching.flatMap((endpoint) =>
    waits(endpoint) ? [] : [{ delivery: deliveryIdOf(id, endpoint.id), event, endpoint: endpoint.id }],
  )
  const known = await knownDeliveries(
    tx,
    matches.map(({ delivery }) => delivery),
  )
  const missing = matches.filter(({ delivery }) => !known.has(delivery))
  const inBacklog = new Set(endpoints.filter(({ backlog }) => backlog).map((endpoint) => endpoint.id))
  const { created } = await createMatches(tx, tickets, missing, inBacklog, now)
  await stampMatched(tx, matching.length > 0 ? [id] : [])
  const action = { action: 'EVENT_ROUTE', tenantId: event.tenantId, object: publicId('evt', id) } as const
  await recordActionIn(tx, viewer, { ...action, details: { deliveries: created.size } }, now)
  await noteFaults(tx, faults, now)
  return created.size
}

async function decideOne(tx: Tx, event: Row, endpoints: readonly Candidate[], operations: boolean) {
  const decided = decideEach(tx, [event], { candidates: () => endpoints, operations: () => operations })
  for await (const decisions of decided) return decisions
  throw new Error('Nothing was decided about an event')
}

/** Locked first, as whoever expunges it does: they then remove these deliveries as well. */
async function readEvent(tx: Tx, viewer: Viewer, id: EventId): Promise<Row> {
  const reach = reachOf(viewer)
  const [event] = await tx<Row[]>`
    select id, tenant_id as "tenantId", type, version, channels, ordering_key as "orderingKey", is_test as "isTest",
      routed_at is not null as routed, expunged_at is not null as expunged,
      exists (select from postrider.lane_outbox where event_id = event.id) as noted
    from postrider.events event
    where id = ${id} and (${reach === 'every'} or tenant_id = ${reach === 'every' ? null : reach})
    for no key update of event`
  const refuse = (message: string) => wrong(['id'], message)
  if (!event) throw new Mistake('NOT_FOUND', ['id'], `There is no event ${publicId('evt', id)}.`)
  if (event.isTest)
    throw refuse('A test goes to the one endpoint that it was made for: test another one with endpointTest.')
  const kept = await tx`select from postrider.event_payloads where id = ${id}`
  if (event.expunged || kept.length === 0) {
    const why = event.expunged ? 'was expunged' : 'is no longer kept'
    throw new Mistake('PAYLOAD_GONE', ['id'], `The payload of this event ${why}: there is nothing to send.`)
  }
  if (!event.routed) throw refuse('This event is still to be routed: that comes by itself, within a second as a rule.')
  return event
}
