import type { Socket } from 'node:net'
import type { SecureContextOptions } from 'node:tls'
import type { Log } from '../log.ts'
import { ArrivedElsewhere, type Dial, dialDirectly, dialOne } from './dialing.ts'
import { timedOut } from './established.ts'
import { classify } from './failures.ts'
import { blocked, createGate, type GateOptions } from './gate.ts'
import { createHandshake } from './handshake.ts'
import type { Answer } from './name-servers.ts'
import type { Opening, Target } from './opening.ts'
import { createTunnel, type Tunnel } from './proxy.ts'
import type { EgressProxy } from './proxy-url.ts'
import { createSystemAsk } from './resolver.ts'

export type { Dial } from './dialing.ts'
export type { Target } from './opening.ts'

export type Connector = (target: Target, opening: Opening, signal: AbortSignal) => Promise<Socket>

export type ConnectorOptions = GateOptions & {
  dial?: Dial
  /** The forward proxy that everything goes through. */
  proxy?: EgressProxy | null
  /** Where the proxy's own name comes from; the system's resolver unless told. */
  lookUpProxy?: (hostname: string) => Promise<Answer>
  /** For connecting to all addresses of a host together; the deadline of the request may end it earlier. */
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
      ? ({ address, port }, signal, timeoutMs) => dialOne(dial, { address, port }, signal, timeoutMs)
      : createTunnel({ proxy, dial, lookUp: lookUpProxy, log, handshake: secure })
  const phase = proxy === null ? 'connect' : 'proxy'
  return async (target, opening, signal) => {
    const addresses = await gate(target, opening, signal)
    opening.phase = phase
    const tcp = await reachOneOf(addresses, target, { reach, connectTimeoutMs, log }, opening, signal)
    if (target.protocol === 'http:') {
      opening.phase = 'open'
      return tcp
    }
    return secure(tcp, target.hostname, opening, signal)
  }
}

/** Tries the addresses in turn, each with an equal share of the time that is left, and answers with the first socket. */
async function reachOneOf(
  addresses: string[],
  { hostname, port }: Target,
  { reach, connectTimeoutMs, log }: { reach: Tunnel; connectTimeoutMs: number; log: Log },
  opening: Opening,
  signal: AbortSignal,
): Promise<Socket> {
  const startedAt = performance.now()
  let lastError: unknown
  for (const [index, address] of addresses.entries()) {
    const leftMs = connectTimeoutMs - (performance.now() - startedAt)
    try {
      const socket = await reach({ address, port, hostname }, signal, leftMs / (addresses.length - index))
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
      lastError = (error as NodeJS.ErrnoException).code === 'ETIMEDOUT' ? timedOut() : error
      // A proxy that fails for one address fails for all; what it says of a server may be true of one address only.
      if (signal.aborted || classify(error) === 'PROXY') break
    }
  }
  throw lastError
}
