/** What can be wrong with a call, as told in `userErrors` and in `extensions.code`. A code, once published, keeps its meaning. */
export const ERROR_CODES = {
  INVALID_INPUT: 'A value is missing, malformed, too long or out of range; `path` names it.',
  NOT_FOUND: 'There is no such object, or it belongs to another tenant.',
  INVALID_URL: 'The URL cannot be an endpoint: the message says which rule it breaks.',
  INVALID_PAYLOAD: 'The payload is not strict JSON, is too deeply nested, or holds text that is not valid Unicode.',
  PAYLOAD_TOO_LARGE: 'The payload is larger than POSTRIDER_MAX_PAYLOAD_BYTES.',
  NUMBER_WOULD_CHANGE:
    'A number in `payload` would not survive JSON parsing. Send it as a string, or use `payloadJson`.',
  RESERVED_EVENT_TYPE: '`endpoint.*` and `delivery.*` are published by Postrider itself.',
  IDEMPOTENCY_CONFLICT: 'The idempotency key was used before with another body.',
  ATTEMPT_IN_FLIGHT: 'An attempt of this delivery is being made at this moment; wait for its result.',
  OUT_OF_ORDER: 'The delivery waits for the one before it in its lane, and must not go before it.',
  PAYLOAD_GONE:
    'The payload of the event was expunged or is no longer kept: there is nothing to send, the message says which.',
  NOT_PENDING: 'The delivery is settled already: there is nothing to cancel.',
  ENDPOINT_DELETED: 'The endpoint was deleted, and its secrets with it.',
  NOT_RUNNING: 'The replay has ended, and nothing of it waits any more: there is nothing to cancel.',
  TOO_MUCH_TO_READ: 'More would have to be read than one request may, or others that read as much come first.',
  TOO_MANY_REPLAYS: 'As many replays of this tenant are running as may: wait for one of them, or cancel it.',
  TENANT_EXISTS: 'There is a tenant with this key already.',
  BUILT_IN_TENANT: 'The tenants `default` and `operations` belong to every installation: they cannot be deleted.',
  LAST_ADMIN_KEY: 'It is the last instance-wide key with the scope ADMIN: make another one before you revoke it.',
} as const
export type ErrorCode = keyof typeof ERROR_CODES
