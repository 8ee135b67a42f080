import { randomUUID } from 'node:crypto'
import { type DeliveryId, deliveryIdOf, type EndpointId, newId, publicId, type TenantId } from '../../schema/ids.ts'
import type { StoredVersions } from '../../schema/tables/endpoints.ts'
import { recordActionIn } from '../audit/record.ts'
import { placesOf } from '../deliveries/admission.ts'
import { deliverTicket, lockAllowances, saveSlots, setBacklog } from '../deliveries/admit.ts'
import { endpointNotFound } from '../endpoints/find.ts'
import { findExample } from '../event-types/find.ts'
import { checkPublishable, isReservedEventType } from '../event-types/names.ts'
import { Mistake } from '../mistake.ts'
import type { Db, Tx } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { again } from '../postgres/deadlock.ts'
import { together } from '../postgres/together.ts'
import type { Tickets } from '../queue/tickets.ts'
import type { Wake } from '../queue/wake.ts'
import { type Reach, reachOf, type Viewer } from '../tenants/access.ts'

export type TestContext = { db: Db; tickets: Tickets; wake: Wake; clock: Clock }

const DEFAULT_TYPE = 'postrider.test'
const EXAMPLE = JSON.stringify({ test: true, message: 'A test from Postrider: nothing happened.' })

/**
 * Sends an example event to one endpoint and nobody else: an event, routed already, and its delivery with a ticket of its
 * own. To an endpoint that is not active it goes at once; to an active one ahead of what waits there, within its allowance,
 * and when all of that is in use it is the next. Mistakes: NOT_FOUND, ATTEMPT_IN_FLIGHT, INVALID_INPUT and RESERVED_EVENT_TYPE
 * at `type`.
 */
export async function testEndpoint(
  context: TestContext,
  viewer: Viewer,
  id: EndpointId,
  type: string | null,
): Promise<DeliveryId> {
  if (type !== null) checkPublishable(type, ['type'])
  const delivery = await again(() => context.db.transaction((tx) => createTest(context, tx, viewer, id, type)))
  context.wake.signal('deliver')
  return delivery
}

async function createTest(
  { tickets, clock }: TestContext,
  tx: Tx,
  viewer: Viewer,
  endpointId: EndpointId,
  givenType: string | null,
): Promise<DeliveryId> {
  const endpoint = await readEndpoint(tx, reachOf(viewer), endpointId)
  const now = clock.now()
  const allowances = await lockAllowances(tx, [endpointId], now)
  const allowance = allowances.get(endpointId)
  // Deleted since it was read.
  if (!allowance || allowance.deleted) throw endpointNotFound(endpointId)
  const type = givenType ?? firstNamed(endpoint.eventTypes) ?? DEFAULT_TYPE
  // What receivers of this type are to understand; of one that the catalogue does not know, anything will do.
  const pinned = endpoint.versions && Object.hasOwn(endpoint.versions, type) ? (endpoint.versions[type] ?? null) : null
  const { version, example } = (await findExample(tx, type, pinned)) ?? { version: null, example: EXAMPLE }
  const eventId = newId<'evt'>(now)
  const delivery = deliveryIdOf(eventId, endpointId)
  // Within its allowance whatever its state. At one that is not active nobody would make room for it later.
  const { places, slots } = placesOf({ ...allowance, state: 'ACTIVE' }, 1, now)
  if (places === 0 && allowance.state !== 'ACTIVE') throw tooMany()
  const [ticket, slot] = places > 0 ? [randomUUID(), slots?.[0] ?? null] : [null, null]
  const at = now.toISOString()
  await together([
    tx`insert into postrider.events (id, tenant_id, type, version, channels, is_test, occurred_at, routed_at)
      values (${eventId}, ${endpoint.tenantId}, ${type}, ${version}, '{}', true, ${at}, ${at})`,
    tx`insert into postrider.event_payloads (id, payload) values (${eventId}, ${example})`,
    tx`insert into postrider.deliveries (
        id, tenant_id, event_id, endpoint_id, event_type, ticket_id, waiting_for, requested_trigger, requested_at, created_at
      ) values (
        ${delivery}, ${endpoint.tenantId}, ${eventId}, ${endpointId}, ${type}, ${ticket}, ${ticket === null ? 'REQUESTED' : null},
        'TEST', ${at}, ${at}
      )`,
    ticket === null
      ? setBacklog(tx, [endpointId], true)
      : tickets.enqueue(tx, 'deliver', [
          deliverTicket({
            delivery,
            endpoint: endpointId,
            ticket,
            depth: allowance.ticketed,
            firstAttempt: true,
            at: slot,
          }),
        ]),
    saveSlots(tx, allowances, [{ endpoint: endpointId, at: slot }]),
  ])
  const action = { action: 'ENDPOINT_TEST', tenantId: endpoint.tenantId, object: publicId('ep', endpointId) } as const
  await recordActionIn(tx, viewer, action, now)
  return delivery
}

type Tested = { tenantId: TenantId; eventTypes: string[] | null; versions: StoredVersions | null }

async function readEndpoint(tx: Tx, reach: Reach, id: EndpointId): Promise<Tested> {
  const [endpoint] = await tx<Tested[]>`
    select tenant_id as "tenantId", event_types as "eventTypes", versions from postrider.endpoints
    where id = ${id} and deleted_at is null and (${reach === 'every'} or tenant_id = ${reach === 'every' ? null : reach})`
  if (!endpoint) throw endpointNotFound(id)
  return endpoint
}

const firstNamed = (patterns: readonly string[] | null) =>
  patterns?.find((pattern) => !pattern.endsWith('*') && !isReservedEventType(pattern))

const tooMany = () =>
  new Mistake(
    'ATTEMPT_IN_FLIGHT',
    ['id'],
    'As many tests are under way as this endpoint may have requests. Wait for one to end.',
  )
