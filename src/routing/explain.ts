import { setImmediate } from 'node:timers/promises'
import { and, eq, inArray, isNull } from 'drizzle-orm'
import { type DeliveryId, deliveryIdOf, type EndpointId, type TenantId } from '../../schema/ids.ts'
import { endpoints } from '../../schema/tables/endpoints.ts'
import { knownDeliveries } from '../deliveries/create.ts'
import { createDecisions, type Decided, type Refusal } from '../endpoints/decide.ts'
import { conditionAtFault } from '../endpoints/filter.ts'
import { MOST_STEPS_OF_AN_EVENT } from '../endpoints/filter-meter.ts'
import { type Part, placeOf } from '../endpoints/filter-text.ts'
import type { Endpoint } from '../endpoints/find.ts'
import type { Event } from '../events/find.ts'
import type { Publisher, PublishInput } from '../events/publish.ts'
import { readIds, wrong } from '../input.ts'
import type { Db, Orm } from '../postgres/client.ts'
import type { Scans } from '../postgres/scans.ts'
import { findTenants } from '../tenants/find.ts'
import { readContents, TURN_MS, toDecide } from './decisions.ts'

/** The part of a filter that said no, and where it stands in it. */
export type FilterPart = { text: string; line: number; column: number }

/** Whether an endpoint gets an event, and if not, why. `delivery`: the one of a published event, if it has one there. */
export type Explained = {
  endpoint: Endpoint
  refusal: Refusal | null
  fault: string | null
  filterPart: FilterPart | null
  delivery: DeliveryId | null
}

export type ExplainContext = {
  db: Db
  scans: Scans
  publisher: Pick<Publisher, 'draft'>
  operationsTenantId: TenantId
}

type Named = readonly string[] | null | undefined

const MOST_ENDPOINTS = 500

/** Where an event would go, were it published now. Mistakes: those of publishing, and TOO_MUCH_TO_READ. */
export async function explainDraft(
  context: ExplainContext,
  input: PublishInput,
  endpointIds: Named,
): Promise<Explained[]> {
  const { type, version, channels, payload, tenantId } = await context.publisher.draft(input, ['event'])
  return explain(context, tenantId, endpointIds, async (orm) => {
    const [tenant] = await findTenants(orm, tenantId, [tenantId])
    const content = { payload, tenant: tenant?.key ?? '' }
    return toDecide({ type, version, channels }, tenantId === context.operationsTenantId, content)
  })
}

/** Where a published event would go, were it routed now, with the deliveries that it has. Mistakes: TOO_MUCH_TO_READ. */
export async function explainEvent(context: ExplainContext, event: Event, endpointIds: Named): Promise<Explained[]> {
  const { operationsTenantId, db } = context
  let isGone = false
  const explained = await explain(context, event.tenantId, endpointIds, async () => {
    const content = (await db.transaction((tx) => readContents(tx, [event.id]))).get(event.id)
    isGone = content?.payload === null
    return toDecide(event, event.tenantId === operationsTenantId, content)
  })
  const ids = explained.map(({ endpoint }) => deliveryIdOf(event.id, endpoint.id))
  const known = await db.transaction((tx) => knownDeliveries(tx, ids))
  return explained.map((one) => {
    const delivery = deliveryIdOf(event.id, one.endpoint.id)
    const fault =
      isGone && one.fault !== null ? 'The payload of this event is gone: no filter can be asked.' : one.fault
    return { ...one, fault, delivery: known.has(delivery) ? delivery : null }
  })
}

/** One at a time of each tenant: filters that take long keep a process busy as a scan of its history does. */
function explain(
  { scans }: ExplainContext,
  tenant: TenantId,
  endpointIds: Named,
  read: (orm: Orm) => Promise<Decided>,
): Promise<Explained[]> {
  const ids = readIds('ep', endpointIds, ['endpointIds'])
  return scans.run(tenant, ['endpointIds'], async (orm) => {
    const event = await read(orm)
    return explainEach(event, await readEndpoints(orm, tenant, ids))
  })
}

async function readEndpoints(orm: Orm, tenant: TenantId, ids: readonly EndpointId[] | null): Promise<Endpoint[]> {
  const rows = await orm
    .select()
    .from(endpoints)
    .where(
      and(
        eq(endpoints.tenantId, tenant),
        isNull(endpoints.deletedAt),
        ids === null ? undefined : inArray(endpoints.id, [...ids]),
      ),
    )
    .orderBy(endpoints.id)
    .limit(MOST_ENDPOINTS + 1)
  if (rows.length <= MOST_ENDPOINTS) return rows
  const message = `There are more than ${MOST_ENDPOINTS} endpoints: name up to 100 of them with endpointIds.`
  throw wrong(['endpointIds'], message)
}

async function explainEach(event: Decided, asked: readonly Endpoint[]): Promise<Explained[]> {
  const decisions = createDecisions(event)
  const parts = new Map<string, Part>()
  const explained: Explained[] = []
  let looking = 0
  let turn = performance.now()
  for (const endpoint of asked) {
    const { refusal, fault } = decisions.decide(endpoint)
    const filter = refusal === 'FILTER' || refusal === 'FILTER_FAULT' ? endpoint.filter : null
    if (filter !== null && !parts.has(filter)) {
      // As much again as deciding may take; then the whole filter has to do.
      const { steps, ...part } =
        looking < MOST_STEPS_OF_AN_EVENT ? conditionAtFault(filter, event) : { text: filter, offset: 0, steps: 0 }
      parts.set(filter, part)
      looking += steps
    }
    const part = filter === null ? null : (parts.get(filter) as Part)
    const filterPart = part && { text: part.text, ...placeOf(filter as string, part.offset) }
    explained.push({ endpoint, refusal, fault, filterPart, delivery: null })
    if (performance.now() - turn < TURN_MS) continue
    await setImmediate()
    turn = performance.now()
  }
  return explained
}
