import type { PayloadFormat } from '../../schema/states.ts'
import type { attemptBodies, attempts } from '../../schema/tables/attempts.ts'
import type { Tx } from '../postgres/client.ts'
import { LOCKS } from '../postgres/locks.ts'
import { together } from '../postgres/together.ts'

export type NewAttempt = Omit<typeof attempts.$inferInsert, 'position'> & {
  format: PayloadFormat
  responseBody: (typeof attemptBodies.$inferInsert)['body'] | null
}

/**
 * Writes attempts and gives them their positions. Call it as the last step of a transaction: the lock it takes is held to
 * the commit, so that positions become visible in their own order and a reader that asks "after 17" misses nothing.
 * Attempts that are there already are left as they are: whose COMMIT got no answer settles once more.
 */
export async function recordAttempts(tx: Tx, attempts: readonly NewAttempt[]): Promise<void> {
  if (attempts.length === 0) return
  const column = <T>(pick: (attempt: NewAttempt) => T) => attempts.map((attempt) => pick(attempt) ?? null) as never
  // Booleans travel as text: postgres.js takes an array of them for a single one.
  const withBody = attempts.filter((attempt) => attempt.responseBody !== null)
  const body = <T>(pick: (attempt: NewAttempt) => T) => withBody.map(pick) as never
  await together([
    withBody.length > 0 &&
      tx`insert into postrider.attempt_bodies (id, body) select id, decode(body, 'base64')
        from unnest(${body((a) => a.id)}::uuid[], ${body((a) => a.responseBody?.toString('base64'))}::text[]) as kept (id, body)
        on conflict do nothing`,
    // Its queue is everybody's, and may be long on a slow disk: whoever gave up would have done all its work in vain.
    tx`select set_config('lock_timeout', '0', true), pg_advisory_xact_lock(${LOCKS.attemptPositions}::bigint)`,
    tx`insert into postrider.attempts (
        id, tenant_id, delivery_id, event_id, endpoint_id, event_type, number, trigger, duration_ms, succeeded, error_class,
        error_message, method, url, format, request_headers, request_bytes, status, response_headers, response_bytes,
        response_truncated, remote_address, reused_socket, dns_ms, connect_ms, tls_ms, first_byte_ms, position
      )
      select made.*, nextval('postrider.attempt_positions')
      from unnest(
        ${column((a) => a.id)}::uuid[], ${column((a) => a.tenantId)}::uuid[], ${column((a) => a.deliveryId)}::uuid[],
        ${column((a) => a.eventId)}::uuid[], ${column((a) => a.endpointId)}::uuid[], ${column((a) => a.eventType)}::text[],
        ${column((a) => a.number)}::int[], ${column((a) => a.trigger)}::text[], ${column((a) => a.durationMs)}::int[],
        ${column((a) => String(a.succeeded ?? false))}::text[]::bool[], ${column((a) => a.errorClass)}::text[], ${column((a) => a.errorMessage)}::text[],
        ${column((a) => a.method)}::text[], ${column((a) => a.url)}::text[], ${column((a) => a.format)}::text[], ${column((a) => a.requestHeaders)}::text[],
        ${column((a) => a.requestBytes)}::int[], ${column((a) => a.status)}::smallint[], ${column((a) => a.responseHeaders)}::text[],
        ${column((a) => a.responseBytes)}::int[], ${column((a) => String(a.responseTruncated ?? false))}::text[]::bool[],
        ${column((a) => a.remoteAddress)}::text[], ${column((a) => String(a.reusedSocket ?? false))}::text[]::bool[], ${column((a) => a.dnsMs)}::real[],
        ${column((a) => a.connectMs)}::real[], ${column((a) => a.tlsMs)}::real[], ${column((a) => a.firstByteMs)}::real[]
      ) as made
      on conflict do nothing`,
  ])
}
