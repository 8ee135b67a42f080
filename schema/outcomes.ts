/**
 * What can go wrong with one attempt, as consumers read it in attempt records, filters and statistics.
 * A class is never renamed: history and dashboards stand on it.
 */
export const ATTEMPT_ERROR_CLASSES = [
  'BLOCKED_ADDRESS',
  'DNS',
  'CONNECT_TIMEOUT',
  'CONNECT_REFUSED',
  'UNREACHABLE',
  'TLS_EXPIRED',
  'TLS_UNTRUSTED',
  'TLS_HOSTNAME',
  'TLS_PROTOCOL',
  'TLS_CLIENT_CERTIFICATE',
  'RESET',
  'TIMEOUT',
  'PROTOCOL',
  'HTTP_STATUS',
  'HEADERS_TOO_LARGE',
  'OAUTH',
  'PROXY',
  'INTERNAL',
] as const

export type AttemptErrorClass = (typeof ATTEMPT_ERROR_CLASSES)[number]
