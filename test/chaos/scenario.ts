/** What is published, who wants it, and how they behave: the same in every run. */

export const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
export const ADMIN_KEY = 'prk_an_admin_key_for_the_tests_only'
export const MASTER_KEYS = Buffer.alloc(32, 9).toString('base64')

// So short that what takes a minute in production happens within a run.
export const CLAIM_SECONDS = 5
export const TIMEOUT_SECONDS = 2
export const SUPERVISE_SECONDS = 1

export const TYPES = ['invoice.paid', 'invoice.sent', 'order.placed', 'order.shipped', 'nobody.wants'] as const

/** `types`: which of `TYPES` match, spelt out. `failing`, `silent`: shares of requests answered with 500, or not at all; `slowMs`: how long it may think. */
export const ENDPOINTS = [
  { name: 'all', eventTypes: null, types: TYPES.slice(), ordered: false, failing: 0, silent: 0, slowMs: 300 },
  {
    name: 'paid',
    eventTypes: ['invoice.paid', 'order.shipped'],
    types: ['invoice.paid', 'order.shipped'],
    ordered: false,
    failing: 0,
    silent: 0,
    slowMs: 0,
  },
  {
    name: 'flaky',
    eventTypes: ['invoice.*'],
    types: ['invoice.paid', 'invoice.sent'],
    ordered: false,
    failing: 0.2,
    silent: 0.02,
    slowMs: 0,
  },
  {
    name: 'lanes',
    eventTypes: ['order.*'],
    types: ['order.placed', 'order.shipped'],
    ordered: true,
    failing: 0.01,
    silent: 0,
    slowMs: 0,
  },
  { name: 'none', eventTypes: ['something.else'], types: [], ordered: false, failing: 0, silent: 0, slowMs: 0 },
] as const

/** As much as the rules allow, so that no delivery gives up before its receiver is back. */
const RETRY = { fixed: { intervalSeconds: 1, attempts: 20 } }

export function endpointInputs(receiverUrl: string): object[] {
  return ENDPOINTS.map(({ name, eventTypes, ordered }) => ({
    url: `${receiverUrl}/${name}`,
    eventTypes,
    secret: SECRET,
    retry: RETRY,
    timeoutSeconds: TIMEOUT_SECONDS,
    ...(ordered ? { ordering: 'PER_KEY' } : {}),
  }))
}

/** Text that would not survive being parsed and printed again. */
export function payloadOf(key: string): string {
  return `{ "key": "${key}", "amount": 1.10, "amount": 12345678901234567890, "10": "ü\\u00fc", "9": [1e3 ,null] }`
}
