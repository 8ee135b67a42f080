import { newId } from '../../schema/ids.ts'
import type { NewAttempt } from '../attempts/record.ts'
import { type EgressResult, notSent } from '../egress/request.ts'
import type { Header } from '../endpoints/headers.ts'
import type { Clock } from '../postgres/clock.ts'
import { VERSION } from '../version.ts'
import { type ExchangeContext, exchange } from './exchange.ts'
import { type Outcome, outcomeOf } from './outcome.ts'
import type { Prepared } from './prepare.ts'
import { DEFAULT_RETRY_POLICY } from './retry-policy.ts'
import { type Settlement, settlementOf } from './settlement.ts'
import { signatureHeaders } from './sign.ts'

/** A request that was made, what came of it, and what that means for its delivery. */
export type Sent = { prepared: Prepared; attempt: NewAttempt; settlement: Settlement }

export type SendContext = ExchangeContext & { clock: Clock }

/** Makes one attempt. What the receiver or the network does is an outcome; a rejection is our own fault. */
export async function send(context: SendContext, prepared: Prepared): Promise<Sent> {
  const { clock } = context
  const startedAt = clock.now()
  const { result, headers } = await exchange(context, prepared, headersOf(prepared))
  return conclude(prepared, startedAt, headers, result, clock.now())
}

/** The attempt of a delivery that our own fault kept from being sent. It follows the schedule like any other failure. */
export function failInternally({ clock }: Pick<SendContext, 'clock'>, prepared: Prepared): Sent {
  const failure = {
    errorClass: 'INTERNAL' as const,
    message: 'Postrider could not prepare or send this request; its log says why.',
  }
  const now = clock.now()
  return conclude(prepared, now, [], notSent(failure), now)
}

function headersOf({ delivery, endpoint, webhookId, headers: [contentType, ...ofFormat], body }: Prepared): Header[] {
  // By the wall clock: it is what receivers compare with theirs.
  const timestamp = Math.floor(Date.now() / 1000)
  const signatures = signatureHeaders({ id: webhookId, timestamp, body }, endpoint.signing)
  const test: Header[] = delivery.trigger === 'TEST' ? [['webhook-test', 'true']] : []
  const order: Header[] = delivery.sequence === null ? [] : [['webhook-sequence', String(delivery.sequence)]]
  return [
    contentType as Header,
    ['user-agent', `Postrider/${VERSION}`],
    ...signatures.standard,
    ['webhook-event', delivery.eventType],
    ['webhook-attempt', String(delivery.attemptsMade + 1)],
    ...order,
    ...test,
    ...ofFormat,
    ...signatures.also,
  ]
}

/** With what undici and the egress add to every request, in the order in which it goes over the wire. */
function asSent(url: string, headers: readonly Header[], body: Buffer): Header[] {
  return [
    ['host', new URL(url).host],
    ['connection', 'keep-alive'],
    ...headers,
    ['accept-encoding', 'identity'],
    ['content-length', String(body.length)],
  ]
}

function conclude(
  prepared: Prepared,
  startedAt: Date,
  headers: readonly Header[],
  result: EgressResult,
  now: Date,
): Sent {
  const { delivery, endpoint } = prepared
  const outcome = outcomeOf(result, now)
  const policy = endpoint.retryPolicy ?? DEFAULT_RETRY_POLICY
  const settlement = settlementOf(delivery, outcome, policy, now, Math.random)
  return { prepared, attempt: attemptOf(prepared, startedAt, headers, result, outcome), settlement }
}

function attemptOf(
  { delivery, endpoint, body }: Prepared,
  startedAt: Date,
  requestHeaders: readonly Header[],
  result: EgressResult,
  outcome: Outcome,
): NewAttempt {
  const { dnsMs, connectMs, tlsMs, firstByteMs, totalMs } = result.timings
  return {
    id: newId(startedAt),
    tenantId: delivery.tenantId,
    deliveryId: delivery.id,
    eventId: delivery.eventId,
    endpointId: delivery.endpointId,
    eventType: delivery.eventType,
    number: delivery.attemptsMade + 1,
    trigger: delivery.trigger,
    durationMs: Math.round(totalMs),
    succeeded: outcome.succeeded,
    errorClass: outcome.errorClass,
    errorMessage: outcome.errorMessage,
    method: endpoint.method,
    url: endpoint.url,
    format: endpoint.format,
    requestHeaders: JSON.stringify(asSent(endpoint.url, requestHeaders, body)),
    requestBytes: body.length,
    status: result.status,
    responseHeaders: result.status === null ? null : JSON.stringify(result.headers),
    responseBytes: result.bodyBytes,
    responseBody: result.body.length > 0 ? result.body : null,
    responseTruncated: result.truncated,
    remoteAddress: result.remoteAddress,
    reusedSocket: result.reusedSocket,
    dnsMs,
    connectMs,
    tlsMs,
    firstByteMs,
  }
}
