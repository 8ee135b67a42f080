import { isIP, connect as netConnect, type Socket } from 'node:net'
import type { SecureContextOptions } from 'node:tls'
import type { Log } from '../log.ts'
import { judgeAddress, type Networks, sameAddress } from './address-rules.ts'
import { established, timedOut } from './established.ts'
import { adviceFor, classify, EgressError } from './failures.ts'
import { createHandshake } from './handshake.ts'
import type { Opening } from './opening.ts'
import type { Resolve } from './resolver.ts'

export type Target = { protocol: 'http:' | 'https:'; hostname: string; port: number }

/** The last step to the network, replaceable: tests note the address here and dial loopback. */
export type Dial = (options: { address: string; family: 4 | 6; port: number }) => Socket

export type Connector = (target: Target, opening: Opening, signal: AbortSignal) => Promise<Socket>

export type ConnectorOptions = {
  allowNetworks: Networks
  resolve: Resolve
  dial?: Dial
  log: Log
  /** For connecting to all addresses of a host together; the deadline of the request may end it earlier. */
  connectTimeoutMs?: number
  tls?: SecureContextOptions
}

/** A family and an address and nothing to look up: Node's own `lookup` and address racing stay out of it. */
export const dialDirectly: Dial = ({ address, family, port }) =>
  netConnect({ host: address, family, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 })

/**
 * Opens sockets to vetted addresses only. Three gates, because a check before connecting can be rebound and a check in
 * `lookup` alone is never called for IP literals: the literal, the resolver's answers, and the address we ended up at.
 */
export function createConnector(options: ConnectorOptions): Connector {
  const secure = createHandshake(options.tls)
  return async (target, opening, signal) => {
    const addresses = await vettedAddresses(options, target, opening, signal)
    const tcp = await connectToOneOf(options, target, addresses, opening, signal)
    if (target.protocol === 'http:') {
      opening.phase = 'open'
      return tcp
    }
    return secure(tcp, target.hostname, opening, signal)
  }
}

async function vettedAddresses(
  { allowNetworks, resolve, log }: ConnectorOptions,
  { hostname }: Target,
  opening: Opening,
  signal: AbortSignal,
): Promise<string[]> {
  const addresses = isIP(hostname) === 0 ? await resolveOnce(resolve, hostname, opening, signal) : [hostname]
  if (addresses.length === 0) throw new EgressError('DNS', `The host name ${hostname} has no address.`)
  const allowed = addresses.filter((address) => {
    const { allowed, reason } = judgeAddress(address, allowNetworks)
    if (!allowed) log.debug({ host: hostname, address, reason }, 'an address of an endpoint is not allowed')
    return allowed
  })
  if (allowed.length === 0) {
    // The operator learns the address, the consumer only the host it wrote itself: no map of the inner network for asking.
    log.warn(
      { host: hostname, addresses },
      'Refused to connect: POSTRIDER_ALLOW_NETWORKS contains no address of the host',
    )
    throw blocked(hostname)
  }
  return allowed
}

async function resolveOnce(resolve: Resolve, hostname: string, opening: Opening, signal: AbortSignal) {
  const startedAt = performance.now()
  try {
    return await untilAborted(resolve(hostname), signal)
  } catch (error) {
    if (error instanceof EgressError) throw error
    throw new EgressError('DNS', adviceFor('DNS'), { cause: error })
  } finally {
    opening.dnsMs = performance.now() - startedAt
  }
}

/** Tries the addresses in turn, each with an equal share of the time that is left, and answers with the first socket. */
async function connectToOneOf(
  { dial = dialDirectly, connectTimeoutMs = 10_000, log }: ConnectorOptions,
  { hostname, port }: Target,
  addresses: string[],
  opening: Opening,
  signal: AbortSignal,
): Promise<Socket> {
  opening.phase = 'connect'
  const startedAt = performance.now()
  let lastError: unknown
  for (const [index, address] of addresses.entries()) {
    const leftMs = connectTimeoutMs - (performance.now() - startedAt)
    try {
      const socket = dial({ address, family: isIP(address) === 6 ? 6 : 4, port })
      await established(socket, 'connect', signal, leftMs / (addresses.length - index))
      opening.connectMs = performance.now() - startedAt
      assertArrivedAt(socket, address, hostname, log)
      opening.remoteAddress = address
      return socket
    } catch (error) {
      // The kernel's own limit for a connect; on an open socket the same code means a peer that fell silent.
      lastError = (error as NodeJS.ErrnoException).code === 'ETIMEDOUT' ? timedOut() : error
      if (signal.aborted || classify(error) === 'BLOCKED_ADDRESS') break
    }
  }
  throw lastError
}

/** Gate 3. A socket already closed again tells no address: that is a reset, not a pass. */
function assertArrivedAt(socket: Socket, address: string, hostname: string, log: Log): void {
  const { remoteAddress } = socket
  if (remoteAddress !== undefined && sameAddress(remoteAddress, address)) return
  socket.destroy()
  if (remoteAddress === undefined) throw new EgressError('RESET', adviceFor('RESET'))
  log.error({ host: hostname, address, remoteAddress }, 'a socket ended up at another address than it was dialled to')
  throw blocked(hostname)
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(new EgressError('DNS', adviceFor('DNS')))
    signal.addEventListener('abort', onAbort)
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
    if (signal.aborted) onAbort()
  })
}

function blocked(hostname: string): EgressError {
  return new EgressError(
    'BLOCKED_ADDRESS',
    `The host ${hostname} points to an address that may not be delivered to: POSTRIDER_ALLOW_NETWORKS does not contain it.`,
  )
}
