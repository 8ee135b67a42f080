import { and, inArray, isNotNull, isNull, type SQL } from 'drizzle-orm'
import type { ApiKeyId, PortalSessionId } from '../../schema/ids.ts'
import type { CredentialState } from '../../schema/states.ts'
import { apiKeys } from '../../schema/tables/api-keys.ts'
import { portalSessions } from '../../schema/tables/portal-sessions.ts'
import { type Optional, readList } from '../input.ts'
import type { Orm } from '../postgres/client.ts'
import { type Page, type PageRequest, pageBounds, pageLimit, pageOrder, toPage } from '../postgres/keyset.ts'
import type { Reach } from './access.ts'
import { API_KEY_COLUMNS, type ApiKeyRow } from './api-keys.ts'
import { type Ending, type EndingColumns, stateIn, stateOf } from './caller-state.ts'
import { PORTAL_SESSION_COLUMNS, type PortalSessionRow } from './portal-sessions.ts'
import { inReach } from './reach.ts'

export type ApiKey = ApiKeyRow & { state: CredentialState }
export type PortalSession = PortalSessionRow & { state: CredentialState }

export type ApiKeyFilterInput = {
  states?: Optional<readonly CredentialState[]>
  instanceWide?: boolean | null | undefined
}
export type PortalSessionFilterInput = { states?: Optional<readonly CredentialState[]> }

/** A row as it is at this moment. */
export function asOf<Row extends Ending>(row: Row, now: Date): Row & { state: CredentialState } {
  return { ...row, state: stateOf(row, now) }
}

/** The keys among these ids that can be seen: an instance-wide one only by who reaches everything. */
export async function findApiKeys(orm: Orm, reach: Reach, ids: readonly ApiKeyId[], now: Date): Promise<ApiKey[]> {
  const rows = await orm
    .select(API_KEY_COLUMNS)
    .from(apiKeys)
    .where(and(inReach(apiKeys.tenantId, reach), inArray(apiKeys.id, [...ids])))
  return rows.map((row) => asOf(row, now))
}

/** The keys of a tenant, newest first; of every tenant and instance-wide ones with the reach `every`. Mistakes: INVALID_INPUT. */
export async function listApiKeys(
  orm: Orm,
  reach: Reach,
  filter: ApiKeyFilterInput | null | undefined,
  page: PageRequest,
  now: Date,
): Promise<Page<ApiKey>> {
  const instanceWide = filter?.instanceWide ?? null
  const rows = await orm
    .select(API_KEY_COLUMNS)
    .from(apiKeys)
    .where(
      and(
        inReach(apiKeys.tenantId, reach),
        inStates(apiKeys, filter?.states, now),
        instanceWide === null ? undefined : (instanceWide ? isNull : isNotNull)(apiKeys.tenantId),
        ...pageBounds(apiKeys.id, page),
      ),
    )
    .orderBy(pageOrder(apiKeys.id, page))
    .limit(pageLimit(page))
  return toPage(
    rows.map((row) => asOf(row, now)),
    page,
  )
}

/** The portal sessions among these ids that can be seen. */
export async function findPortalSessions(
  orm: Orm,
  reach: Reach,
  ids: readonly PortalSessionId[],
  now: Date,
): Promise<PortalSession[]> {
  const rows = await orm
    .select(PORTAL_SESSION_COLUMNS)
    .from(portalSessions)
    .where(and(inReach(portalSessions.tenantId, reach), inArray(portalSessions.id, [...ids])))
  return rows.map((row) => asOf(row, now))
}

/** Portal sessions that are still kept, newest first. Mistakes: INVALID_INPUT. */
export async function listPortalSessions(
  orm: Orm,
  reach: Reach,
  filter: PortalSessionFilterInput | null | undefined,
  page: PageRequest,
  now: Date,
): Promise<Page<PortalSession>> {
  const rows = await orm
    .select(PORTAL_SESSION_COLUMNS)
    .from(portalSessions)
    .where(
      and(
        inReach(portalSessions.tenantId, reach),
        inStates(portalSessions, filter?.states, now),
        ...pageBounds(portalSessions.id, page),
      ),
    )
    .orderBy(pageOrder(portalSessions.id, page))
    .limit(pageLimit(page))
  return toPage(
    rows.map((row) => asOf(row, now)),
    page,
  )
}

function inStates(columns: EndingColumns, states: Optional<readonly CredentialState[]>, now: Date): SQL | undefined {
  const wanted = readList(states, ['filter', 'states'])
  return wanted === null ? undefined : inArray(stateIn(columns, now), [...wanted])
}
