import type { EndpointId } from '../../schema/ids.ts'
import type { DisabledReason } from '../../schema/states.ts'
import type { Tx } from '../postgres/client.ts'

/** An endpoint that is to be sent nothing more, and the URL that gave the reason. */
export type Disabling = { endpoint: EndpointId; url: string; reason: DisabledReason }

/**
 * Disables endpoints, and returns those that were not disabled before. One whose URL was changed meanwhile is left alone:
 * what the old address said does not hold for the new one. The caller has locked them.
 */
export async function disableEndpoints(tx: Tx, disablings: readonly Disabling[], now: Date): Promise<EndpointId[]> {
  if (disablings.length === 0) return []
  const column = <T>(pick: (disabling: Disabling) => T) => disablings.map(pick) as never
  const rows = await tx<{ id: EndpointId }[]>`
    update postrider.endpoints endpoint set state = 'DISABLED', disabled_reason = disabling.reason,
      disabled_at = ${now.toISOString()}, updated_at = ${now.toISOString()}
    from unnest(
      ${column(({ endpoint }) => endpoint)}::uuid[], ${column(({ url }) => url)}::text[], ${column(({ reason }) => reason)}::text[]
    ) as disabling (id, url, reason)
    where endpoint.id = disabling.id and endpoint.url = disabling.url and state <> 'DISABLED' and deleted_at is null
    returning endpoint.id`
  return rows.map(({ id }) => id)
}
