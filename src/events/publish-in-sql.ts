import type { Sql } from '../postgres/client.ts'

/** What `postrider.publish` in SQL has to know of the configuration. */
export type PublishRules = {
  maxPayloadBytes: number
  idempotencyHours: number
  /** Whether an event must be of a type that is in the catalogue. */
  refusesUnknownEventTypes: boolean
}

/** Writes down for `postrider.publish` what this process publishes by: where several differ, that of the last one to start holds. */
export async function savePublishRules(sql: Sql, rules: PublishRules): Promise<void> {
  const { maxPayloadBytes, idempotencyHours, refusesUnknownEventTypes } = rules
  await sql`
    update postrider.installation set max_payload_bytes = ${maxPayloadBytes}, idempotency_hours = ${idempotencyHours},
      refuses_unknown_event_types = ${refusesUnknownEventTypes}
    where (max_payload_bytes, idempotency_hours, refuses_unknown_event_types)
      is distinct from (${maxPayloadBytes}, ${idempotencyHours}, ${refusesUnknownEventTypes})`
}
