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
  TOO_MANY_SECRETS:
    'As many secrets of the endpoint sign as may: wait until one of them ends, or rotate with `overlapSeconds: 0`.',
  TOO_MANY_REPLAYS: 'As many replays of this tenant are running as may: wait for one of them, or cancel it.',
} as const
export type ErrorCode = keyof typeof ERROR_CODES
