import type { EndpointId, TenantId } from '../../schema/ids.ts'
import type { AllowanceReason, DisabledReason, EndpointHealth, EndpointState } from '../../schema/states.ts'
import { type Tx, toDate } from '../postgres/client.ts'

/** What the engine knows about an endpoint and changes by itself. */
export type Condition = {
  id: EndpointId
  tenantId: TenantId
  url: string
  description: string | null
  state: EndpointState
  disabledReason: DisabledReason | null
  health: EndpointHealth
  failingSince: Date | null
  failedAttempts: number
  maxInFlight: number
  allowance: number | null
  allowanceReason: AllowanceReason | null
  allowanceChangedAt: Date | null
}

type Row = Omit<Condition, 'failingSince' | 'allowanceChangedAt'> & {
  failingSince: string | null
  allowanceChangedAt: string | null
}

/**
 * Locks, in one order, those of some living endpoints that may change: the `certain` ones, and whichever is not well or is
 * given less than its `maxInFlight`. Usually that is none: an endpoint that is well costs its look-up and nothing else.
 */
export async function lockConditions(
  tx: Tx,
  endpoints: readonly EndpointId[],
  certain: readonly EndpointId[],
): Promise<Condition[]> {
  if (endpoints.length === 0) return []
  const rows = await tx<Row[]>`
    select id, tenant_id as "tenantId", url, description, state, disabled_reason as "disabledReason", health,
      failing_since as "failingSince", failed_attempts as "failedAttempts", max_in_flight as "maxInFlight", allowance,
      allowance_reason as "allowanceReason", allowance_changed_at as "allowanceChangedAt"
    from postrider.endpoints
    where id = any(${endpoints as never}::uuid[]) and deleted_at is null
      and (failing_since is not null or health <> 'HEALTHY' or allowance is not null or id = any(${certain as never}::uuid[]))
    order by id for no key update`
  return rows.map((row) => ({
    ...row,
    failingSince: toDate(row.failingSince),
    allowanceChangedAt: toDate(row.allowanceChangedAt),
  }))
}

/** Writes conditions of locked endpoints. */
export async function saveConditions(tx: Tx, conditions: readonly Condition[], now: Date): Promise<void> {
  if (conditions.length === 0) return
  const column = <T>(pick: (condition: Condition) => T) => conditions.map(pick) as never
  await tx`
    update postrider.endpoints endpoint set
      disabled_at = case when changed.state = 'DISABLED' then coalesce(disabled_at, ${now.toISOString()}) end,
      state = changed.state, disabled_reason = changed.disabled_reason, health = changed.health,
      failing_since = changed.failing_since, failed_attempts = changed.failed_attempts, allowance = changed.allowance,
      allowance_reason = changed.allowance_reason, allowance_changed_at = changed.allowance_changed_at
    from unnest(
      ${column(({ id }) => id)}::uuid[], ${column(({ state }) => state)}::text[], ${column(({ disabledReason }) => disabledReason)}::text[],
      ${column(({ health }) => health)}::text[], ${column(({ failingSince }) => failingSince?.toISOString() ?? null)}::text[]::timestamptz[],
      ${column(({ failedAttempts }) => failedAttempts)}::int[], ${column(({ allowance }) => allowance)}::int[],
      ${column(({ allowanceReason }) => allowanceReason)}::text[],
      ${column(({ allowanceChangedAt }) => allowanceChangedAt?.toISOString() ?? null)}::text[]::timestamptz[]
    ) as changed (
      id, state, disabled_reason, health, failing_since, failed_attempts, allowance, allowance_reason, allowance_changed_at
    )
    where endpoint.id = changed.id`
}
