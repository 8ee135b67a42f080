/**
 * What can be wrong with a call, as told in `userErrors` and, where an answer has none, in `extensions.code` of a top-level
 * error. There are no others, whatever goes wrong. A code, once published, keeps its meaning.
 */
export const ERROR_CODES = {
  INVALID_INPUT: 'A value is missing, malformed, too long or out of range; `path` names it.',
  NOT_FOUND: 'There is no such object, or it belongs to another tenant.',
  INVALID_URL: 'The URL cannot be an endpoint: the message says which rule it breaks.',
  INVALID_FILTER:
    'The filter is no expression that can be used: the message says what is wrong with it, and in which line and column.',
  INVALID_PAYLOAD: 'The payload is not strict JSON, is too deeply nested, or holds text that is not valid Unicode.',
  PAYLOAD_TOO_LARGE: 'The payload is larger than POSTRIDER_MAX_PAYLOAD_BYTES.',
  NUMBER_WOULD_CHANGE:
    'A number in `payload` would not survive JSON parsing. Send it as a string, or use `payloadJson`.',
  RESERVED_EVENT_TYPE: '`endpoint.*` and `delivery.*` are published by Postrider itself.',
  UNKNOWN_EVENT_TYPE:
    'The catalogue has no such event type, or it is archived, and POSTRIDER_UNKNOWN_EVENT_TYPES is `refuse`; or the type has no such version, and refuses what does not satisfy its schema. The message names what may have been meant.',
  SCHEMA_VIOLATION:
    'The payload does not satisfy the schema of its event type: `path` leads to the value, and the message names the rule.',
  BREAKING_CHANGE:
    'The new schema would break those who rely on the one before: `breakingChanges` tells each. `allowBreaking: true` saves it all the same.',
  IDEMPOTENCY_CONFLICT: 'The idempotency key was used before with another body.',
  ATTEMPT_IN_FLIGHT: 'An attempt of this delivery is being made at this moment; wait for its result.',
  OUT_OF_ORDER: 'The delivery waits for the one before it in its lane, and must not go before it.',
  PAYLOAD_GONE:
    'The payload of the event was expunged or is no longer kept: there is nothing to send, the message says which.',
  NOT_PENDING: 'The delivery is settled already: there is nothing to cancel.',
  ENDPOINT_DELETED: 'The endpoint was deleted, and its secrets with it.',
  NOT_RUNNING: 'The replay has ended, and nothing of it waits any more: there is nothing to cancel.',
  TOO_MUCH_TO_READ: 'More would have to be read than one request may, or others that read as much come first.',
  TOO_MANY_SECRETS:
    'As many secrets of the endpoint sign as may: wait until one of them ends, or rotate with `overlapSeconds: 0`.',
  TOO_MANY_ENDPOINTS:
    'The tenant has as many endpoints as it may: delete some, or give each of your customers a tenant of its own.',
  TOO_MANY_REPLAYS: 'As many replays of this tenant are running as may: wait for one of them, or cancel it.',
  TENANT_EXISTS: 'There is a tenant with this key already.',
  BUILT_IN_TENANT: 'The tenants `default` and `operations` belong to every installation: they cannot be deleted.',
  LAST_ADMIN_KEY:
    'It is the last instance-wide key with the scope ADMIN, or the last of them that never expires: make another one before you revoke it.',
  UNAUTHENTICATED:
    'There is no API key or portal session, or one that is unknown, has expired or was revoked: send a valid one. A live subscription ends with this code when that happens to its own.',
  FORBIDDEN: 'The API key or portal session has not the scope that the field needs; the message names it.',
  RATE_LIMITED:
    'Too many requests with this key, or with the portal sessions of this tenant, or too many wrong keys from this address. Nothing was done: try again after `extensions.retryAfterMs`, over HTTP also in the header `Retry-After`.',
  TOO_MANY_CONNECTIONS: 'As many connections as may are open from this address, or in all: close some, or try later.',
  TOO_MANY_OPERATIONS: 'As many operations as may are under way on this WebSocket: wait for some, or open another one.',
  TOO_MANY_SUBSCRIPTIONS:
    'As many live subscriptions as may are open with this key, of this tenant, or in all; the message says which. End some of them.',
  BAD_REQUEST:
    'The request is not one that GraphQL can take: its method, content type, JSON, size or operation name. The message says which.',
  GRAPHQL_PARSE_FAILED: 'The document is not GraphQL; `locations` says where.',
  GRAPHQL_VALIDATION_FAILED: 'The document does not fit the schema; `locations` says where.',
  DOCUMENT_TOO_LARGE:
    'The document is too long or nests too deeply, or its answer would be too large: ask for less at a time.',
  FEED_OVERFLOW:
    'A subscriber took its items more slowly than they came. Subscribe again with `after` set to `extensions.cursor`: nothing is missed.',
  UNAVAILABLE: 'The database is away. Try again; with the same idempotency key nothing happens twice.',
  INTERNAL: 'Something went wrong on our side; the log has it under `extensions.requestId`.',
} as const
export type ErrorCode = keyof typeof ERROR_CODES

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code)
}
