import type { AttemptErrorClass } from '../../schema/outcomes.ts'
import { adviceFor, EgressError } from './failures.ts'
import type { Opening } from './opening.ts'
import { PROXY_TOO_LATE, TUNNEL_TOO_LATE } from './proxy.ts'

const LATE: Record<Opening['phase'], [AttemptErrorClass, string?]> = {
  dns: ['DNS'],
  connect: ['CONNECT_TIMEOUT'],
  proxy: ['PROXY', PROXY_TOO_LATE],
  tunnel: ['CONNECT_TIMEOUT', TUNNEL_TOO_LATE],
  tls: ['CONNECT_TIMEOUT', 'The TLS handshake was not finished in time. Check that the port speaks TLS.'],
  open: ['TIMEOUT'],
}

/** What it means that the deadline of an attempt came in this phase. */
export function lateIn(phase: Opening['phase']): EgressError {
  const [errorClass, advice] = LATE[phase]
  return new EgressError(errorClass, advice ?? adviceFor(errorClass))
}
