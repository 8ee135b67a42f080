/**
 * Events about Postrider itself, delivered like any other to endpoints that ask for them: their payloads, as JSON Schema
 * (draft 2020-12) with an example each. Like everything that receivers see, a field keeps its meaning; new ones may be added.
 */
export const OPERATIONAL_EVENT_TYPES = [
  'endpoint.failing',
  'endpoint.recovered',
  'endpoint.disabled',
  'delivery.failed',
] as const
export type OperationalEventType = (typeof OPERATIONAL_EVENT_TYPES)[number]

/** The tenant whose endpoints are told of every tenant: that is how an operator hears of them. */
export const OPERATIONS_TENANT = 'operations'

type Definition = { description: string; schema: object; example: object }

const text = (description: string) => ({ type: 'string', description })
const moment = (description: string) => ({ type: 'string', format: 'date-time', description })
const object = (description: string, properties: Record<string, object>) => ({
  type: 'object',
  description,
  properties,
  required: Object.keys(properties),
})

const tenant = text('The key of the tenant it happened to.')
const endpoint = object('The endpoint.', {
  id: text('Its id, `ep_…`.'),
  url: text('Where its deliveries go.'),
  description: { type: ['string', 'null'], description: 'The note that its owner wrote.' },
})
const lastAttempt = object('The attempt that brought it about.', {
  id: text('Its id, `att_…`.'),
  status: { type: ['integer', 'null'], description: 'The HTTP status; null when there was no answer.' },
  error_class: { type: ['string', 'null'], description: 'Its error class, like `TIMEOUT`; null when it succeeded.' },
  error_message: { type: ['string', 'null'], description: 'What went wrong, and what to do; null when it succeeded.' },
})
const lastAttemptIfAny = {
  ...lastAttempt,
  type: ['object', 'null'],
  description: 'The latest attempt; null when none was made before it expired.',
}
const failingSince = moment('When the first of nothing but failures ended.')
const failedAttempts = {
  type: 'integer',
  description:
    'How many attempts have failed since, counted no further than the rule for disabling asks: 20 means 20 or more.',
}

const exampleEndpoint = { id: 'ep_01m7yvv9b3exybqd7fhwm5gdzv', url: 'https://example.com/hooks', description: null }
const exampleAttempt = {
  id: 'att_01m7yw1c3keqfb04sk28mhd0t2',
  status: 503,
  error_class: 'HTTP_STATUS',
  error_message: 'The endpoint answered 503: it is overloaded or down for maintenance.',
}

export const OPERATIONAL_EVENTS: Record<OperationalEventType, Definition> = {
  'endpoint.failing': {
    description: 'An endpoint has answered nothing but failures for 5 minutes. Its deliveries are retried as before.',
    schema: object('An endpoint began to fail.', {
      tenant,
      endpoint,
      failing_since: failingSince,
      failed_attempts: failedAttempts,
      last_attempt: lastAttempt,
    }),
    example: {
      tenant: 'acme',
      endpoint: exampleEndpoint,
      failing_since: '2026-11-20T20:28:35.919Z',
      failed_attempts: 3,
      last_attempt: exampleAttempt,
    },
  },
  'endpoint.recovered': {
    description: 'A failing endpoint has taken a delivery again.',
    schema: object('A failing endpoint recovered.', { tenant, endpoint, last_attempt: lastAttempt }),
    example: {
      tenant: 'acme',
      endpoint: exampleEndpoint,
      last_attempt: { ...exampleAttempt, status: 204, error_class: null, error_message: null },
    },
  },
  'endpoint.disabled': {
    description:
      'Nothing is sent to an endpoint any more: it answered 410 (GONE), or nothing but failures for 5 days and at least 20 attempts (FAILING). Its deliveries are kept, and go out when it is resumed.',
    schema: object('An endpoint was disabled.', {
      tenant,
      endpoint,
      reason: { enum: ['GONE', 'FAILING'], description: 'Why.' },
      failing_since: { ...failingSince, type: ['string', 'null'] },
      failed_attempts: failedAttempts,
      last_attempt: lastAttempt,
    }),
    example: {
      tenant: 'acme',
      endpoint: exampleEndpoint,
      reason: 'FAILING',
      failing_since: '2026-11-15T20:28:35.919Z',
      failed_attempts: 20,
      last_attempt: exampleAttempt,
    },
  },
  'delivery.failed': {
    description:
      'A delivery has failed for good: its last attempt failed (EXHAUSTED), and it is kept and can be retried; or it was still pending when its payload was no longer kept (EXPIRED), after 30 days as a rule. Deliveries of operational events are not announced.',
    schema: object('A delivery failed for good.', {
      tenant,
      endpoint,
      reason: { enum: ['EXHAUSTED', 'EXPIRED'], description: 'Why: its schedule was over, or its time.' },
      delivery: object('The delivery.', {
        id: text('Its id, `dlv_…`.'),
        attempts_made: { type: 'integer', description: 'How many attempts were made.' },
      }),
      event: object('The event that was not delivered.', {
        id: text('Its id, `evt_…`.'),
        type: text('Its type, like `invoice.paid`.'),
      }),
      last_attempt: lastAttemptIfAny,
    }),
    example: {
      tenant: 'acme',
      endpoint: exampleEndpoint,
      reason: 'EXHAUSTED',
      delivery: { id: 'dlv_01m7yvv9c5e9fv9keayyt735mz', attempts_made: 10 },
      event: { id: 'evt_01m7yvv9c5e9fv9keayyt735mz', type: 'invoice.paid' },
      last_attempt: exampleAttempt,
    },
  },
}

/** For those who receive: description, JSON Schema (draft 2020-12) and example of each, as one JSON document. */
export function printedOperationalEvents(): string {
  return `${JSON.stringify(OPERATIONAL_EVENTS, null, 2)}\n`
}
