import type { Socket } from 'node:net'
import type { SecureContextOptions } from 'node:tls'
import type { Log } from '../log.ts'
import { ArrivedElsewhere, type Dial, dialDirectly, dialOne } from './dialing.ts'
import { timedOut } from './established.ts'
import { classify } from './failures.ts'
import { blocked, createGate, type GateOptions } from './gate.ts'
import { createHandshake } from './handshake.ts'
import type { TlsIdentity } from './identity.ts'
import type { Answer } from './name-servers.ts'
import type { Opening } from './opening.ts'
import { createTunnel, type Tunnel } from './proxy.ts'
import type { EgressProxy } from './proxy-url.ts'
import { createSystemAsk } from './resolver.ts'
import type { Target } from './target.ts'

export type { Dial } from './dialing.ts'

/** `deadlineAt` is when the whole attempt must be over, by `performance.now()`. */
export type Connector = (
  target: Target,
  opening: Opening,
  signal: AbortSignal,
  deadlineAt: number,
  identity?: TlsIdentity | null,
) => Promise<Socket>

export type ConnectorOptions = GateOptions & {
  dial?: Dial
  /** The forward proxy that everything goes through. */
  proxy?: EgressProxy | null
  /** Where the proxy's own name comes from; the system's resolver unless told. */
  lookUpProxy?: (hostname: string) => Promise<Answer>
  /** For connecting to all addresses of a host together; shorter where the deadline of the request is near. */
  connectTimeoutMs?: number
  tls?: SecureContextOptions
}

/**
 * Opens sockets to vetted addresses only. Three gates, because a check before connecting can be rebound and a check in
 * `lookup` alone is never called for IP literals: the literal, the resolver's answers, and the address we ended up at.
 */
export function createConnector(options: ConnectorOptions): Connector {
  const { log, dial = dialDirectly, proxy = null, lookUpProxy = createSystemAsk(), connectTimeoutMs = 10_000 } = options
  const gate = createGate(options)
  const secure = createHandshake(options.tls)
  const reach: Tunnel =
    proxy === null
      ? ({ address, port }, _opening, signal, timeoutMs) => dialOne(dial, { address, port }, signal, timeoutMs)
      : createTunnel({ proxy, dial, lookUp: lookUpProxy, log, handshake: secure })
  return async (target, opening, signal, deadlineAt, identity = null) => {
    const addresses = await gate(target, opening, signal)
    opening.phase = 'connect'
    const until = performance.now() + Math.min(connectTimeoutMs, sparedMs(deadlineAt - performance.now()))
    const tcp = await reachOneOf(addresses, target, { reach, until, log }, opening, signal)
    if (target.protocol === 'http:') {
      opening.phase = 'open'
      return tcp
    }
    return secure(tcp, target.hostname, opening, signal, identity)
  }
}

/** What of the time left may go into connecting: some of it is for TLS and the answer. */
function sparedMs(leftMs: number): number {
  return leftMs - Math.min(leftMs / 4, 1000)
}

/** Tries the addresses in turn, each with an equal share of the time that is left, and answers with the first socket. */
async function reachOneOf(
  addresses: string[],
  { hostname, port }: Target,
  { reach, until, log }: { reach: Tunnel; until: number; log: Log },
  opening: Opening,
  signal: AbortSignal,
): Promise<Socket> {
  const startedAt = performance.now()
  let lastError: unknown
  for (const [index, address] of addresses.entries()) {
    const shareMs = (until - performance.now()) / (addresses.length - index)
    try {
      const socket = await reach({ address, port, hostname }, opening, signal, shareMs)
      opening.connectMs = performance.now() - startedAt
      opening.remoteAddress = address
      return socket
    } catch (error) {
      if (error instanceof ArrivedElsewhere) {
        log.error(
          { host: hostname, address, remoteAddress: error.remoteAddress },
          'Refused a socket that ended up elsewhere',
        )
        throw blocked(hostname)
      }
      // The kernel's own limit for a connect; on an open socket the same code means a peer that fell silent.
      const failure = (error as NodeJS.ErrnoException).code === 'ETIMEDOUT' ? timedOut() : error
      // The first that tells something of the server: that there is no route to its IPv6 address may be our own doing.
      if (lastError === undefined || classify(lastError) === 'UNREACHABLE') lastError = failure
      // A proxy that fails for one address fails for all; what it says of a server may be true of one address only.
      if (signal.aborted || classify(error) === 'PROXY') break
    }
  }
  throw lastError
}
