import { randomUUID } from 'node:crypto'
import type { DeliveryId, EndpointId, EventId, TenantId } from '../../schema/ids.ts'
import { type Allowance, admit } from '../deliveries/admission.ts'
import {
  deliverTicket,
  joinBacklogs,
  lockAllowances,
  saveSlots,
  setBacklog,
  type Ticketed,
} from '../deliveries/admit.ts'
import { createDeliveries, type NewDelivery } from '../deliveries/create.ts'
import type { Tx } from '../postgres/client.ts'
import { together } from '../postgres/together.ts'
import type { Tickets } from '../queue/tickets.ts'

/** That an event goes to an endpoint. */
export type Match = {
  delivery: DeliveryId
  event: { id: EventId; tenantId: TenantId; type: string }
  endpoint: EndpointId
}

type Admitted = NewDelivery & { depth: number; at: Date | null }

export type Created = { created: Set<DeliveryId>; admitted: number; intoBacklog: EndpointId[] }

/** Creates deliveries, those that may go at once with tickets. `inBacklog`: the endpoints that seem to have more waiting already. */
export async function createMatches(
  tx: Tx,
  tickets: Tickets,
  matches: readonly Match[],
  inBacklog: ReadonlySet<EndpointId>,
  now: Date,
): Promise<Created> {
  const { deliveries, intoBacklog, allowances } = await admitAll(tx, matches, inBacklog, now)
  const created = await createDeliveries(tx, deliveries, now)
  const admitted = deliveries.filter(({ delivery, ticket }) => ticket !== null && created.has(delivery))
  await together([
    tickets.enqueue(
      tx,
      'deliver',
      admitted.map((delivery) => deliverTicket(ticketed(delivery))),
    ),
    saveSlots(tx, allowances, admitted),
    setBacklog(tx, intoBacklog, true),
  ])
  return { created, admitted: admitted.length, intoBacklog }
}

async function admitAll(
  tx: Tx,
  matches: readonly Match[],
  inBacklog: ReadonlySet<EndpointId>,
  now: Date,
): Promise<{ deliveries: Admitted[]; intoBacklog: EndpointId[]; allowances: Map<EndpointId, Allowance> }> {
  const byEndpoint = Map.groupBy(matches, (one) => one.endpoint)
  const wanted = new Set(byEndpoint.keys())
  const joined = await joinBacklogs(tx, [...wanted.intersection(inBacklog)])
  const allowances = await lockAllowances(tx, [...wanted.difference(joined)], now)
  const deliveries: Admitted[] = []
  const intoBacklog: EndpointId[] = []
  for (const [endpoint, arriving] of byEndpoint) {
    if (joined.has(endpoint)) {
      deliveries.push(...arriving.map((one) => ({ ...newDelivery(one, null), depth: 0, at: null })))
      continue
    }
    const allowance = allowances.get(endpoint)
    // Deleted since it was read: nothing is created for it.
    if (!allowance || allowance.deleted) continue
    const { admitted, backlog, slots } = admit(allowance, arriving.length, now)
    for (const [index, one] of arriving.entries()) {
      const ticket = index < admitted ? randomUUID() : null
      deliveries.push({ ...newDelivery(one, ticket), depth: allowance.ticketed + index, at: slots?.[index] ?? null })
    }
    if (backlog && !allowance.backlog) intoBacklog.push(endpoint)
  }
  return { deliveries, intoBacklog, allowances }
}

function newDelivery({ delivery, event, endpoint }: Match, ticket: string | null): NewDelivery {
  return { delivery, tenantId: event.tenantId, event, endpoint, ticket, waitingFor: 'ALLOWANCE' }
}

function ticketed({ delivery, endpoint, ticket, depth, at }: Admitted): Ticketed {
  return { delivery, endpoint, ticket: ticket as string, depth, firstAttempt: true, at }
}
