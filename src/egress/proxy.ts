import { Buffer } from 'node:buffer'
import { isIP, type Socket } from 'node:net'
import type { Log } from '../log.ts'
import { type Dial, dialOne } from './dialing.ts'
import { classify, EgressError } from './failures.ts'
import type { Handshake } from './handshake.ts'
import type { Answer } from './name-servers.ts'
import { newOpening, type Opening } from './opening.ts'
import type { EgressProxy } from './proxy-url.ts'
import { sparing } from './sparing-log.ts'

export type Tunnel = (
  to: { address: string; port: number; hostname: string },
  opening: Opening,
  signal: AbortSignal,
  timeoutMs: number,
) => Promise<Socket>

export type TunnelOptions = {
  proxy: EgressProxy
  dial: Dial
  /** The operator's own name, from the operator's own resolver; where it points is not judged. */
  lookUp: (hostname: string) => Promise<Answer>
  log: Log
  handshake: Handshake
}

/** A fault of the proxy. The consumer learns that it is not the endpoint's; the operator learns the rest from the log. */
class ProxyFault extends Error {
  readonly code = 'PROXY_FAULT'

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ProxyFault'
  }
}

/** Not a word after CONNECT: proxies wait longer for a server than we do, so this is what a server that is down looks like. */
class NoAnswer extends Error {}

const MAX_HEAD_BYTES = 16 * 1024
const END_OF_HEAD = '\r\n\r\n'

/**
 * Connections through the operator's proxy, to addresses that have been vetted, not to names: what the proxy would make of a
 * name is another look-up, and no gate of ours would see its answer.
 */
export function createTunnel({ proxy, dial, lookUp, log, handshake }: TunnelOptions): Tunnel {
  // Apart: servers that take no connection must not keep faults of the proxy out of the log.
  const [warnOfFault, warnOfSilence] = [sparing(log), sparing(log)]
  const { hostname, port, protocol } = proxy
  return async (to, opening, signal, timeoutMs) => {
    const late = AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs)))
    const either = AbortSignal.any([signal, late])
    const facts = { proxy: `${hostname}:${port}`, host: to.hostname, address: to.address, port: to.port }
    const complain = (fault: unknown) => {
      if (fault instanceof NoAnswer) {
        warnOfSilence(facts, 'The egress proxy has not answered CONNECT in time')
        return new EgressError('CONNECT_TIMEOUT', TUNNEL_TOO_LATE)
      }
      warnOfFault({ ...facts, err: fault }, 'The egress proxy did not bring a connection about')
      const tooLate = late.aborted || classify(fault) === 'CONNECT_TIMEOUT'
      return new EgressError('PROXY', tooLate ? PROXY_TOO_LATE : PROXY_FAILED)
    }
    opening.phase = 'proxy'
    let socket: Socket | null = null
    let status: number
    try {
      socket = await reach(proxy, { dial, lookUp }, either, timeoutMs)
      if (protocol === 'https:') socket = await handshake(socket, hostname, newOpening(), either)
      opening.phase = 'tunnel'
      status = await connectThrough(socket, proxy, to, either)
    } catch (error) {
      socket?.destroy()
      // Given up by whoever asked for it: nobody's fault that could be told yet.
      throw signal.aborted ? error : complain(error)
    }
    if (status >= 200 && status < 300) return socket
    socket.destroy()
    throw (
      saidOfTheServer(status) ?? complain(new ProxyFault(FAULTS[status] ?? `the proxy answered CONNECT with ${status}`))
    )
  }
}

async function reach(
  { hostname, port }: EgressProxy,
  { dial, lookUp }: Pick<TunnelOptions, 'dial' | 'lookUp'>,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<Socket> {
  const answer: Answer =
    isIP(hostname) === 0 ? await lookUp(hostname) : { kind: 'addresses', addresses: [hostname], ttlMs: 0 }
  if (answer.kind === 'failed') throw new ProxyFault('the name of the proxy was not resolved', { cause: answer.cause })
  if (answer.kind === 'none') throw new ProxyFault('the name of the proxy has no address')
  let failure: unknown
  for (const address of answer.addresses) {
    try {
      return await dialOne(dial, { address, port }, signal, timeoutMs / answer.addresses.length)
    } catch (error) {
      failure = error
      if (signal.aborted) break
    }
  }
  throw failure
}

/** RFC 9110, section 9.3.6. Answers the proxy's status; on success the socket is the tunnel. */
async function connectThrough(
  socket: Socket,
  { authorization }: EgressProxy,
  { address, port }: { address: string; port: number },
  signal: AbortSignal,
): Promise<number> {
  const authority = `${isIP(address) === 6 ? `[${address}]` : address}:${port}`
  const credentials = authorization === null ? '' : `proxy-authorization: ${authorization}\r\n`
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n${credentials}\r\n`)
  const head = await readHead(socket, signal)
  const status = /^HTTP\/1\.[01] (\d{3})(?: |\r\n)/.exec(head)?.[1]
  if (status === undefined) throw new ProxyFault('the proxy answered something that is not HTTP/1.1')
  return Number(status)
}

/** What comes up to the first empty line. Whatever follows it already belongs to the tunnel. */
function readHead(socket: Socket, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0)
    const end = (error: Error | null, head = '') => {
      signal.removeEventListener('abort', onAbort)
      socket.off('data', onData).off('error', end).off('close', onClose).off('end', onClose)
      socket.pause()
      if (error === null) resolve(head)
      else reject(error)
    }
    const onData = (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      const at = received.indexOf(END_OF_HEAD)
      const length = at === -1 ? received.length : at + END_OF_HEAD.length
      if (length > MAX_HEAD_BYTES) return end(new ProxyFault('the head of the answer is larger than 16 KiB'))
      if (at === -1) return
      end(null, received.toString('latin1', 0, length))
      if (length < received.length) socket.unshift(received.subarray(length))
    }
    const onClose = () => end(new ProxyFault('the proxy closed the connection before it had answered'))
    const onAbort = () =>
      end(received.length === 0 ? new NoAnswer() : new ProxyFault('the proxy did not end its answer'))
    socket.on('data', onData).on('error', end).on('close', onClose).on('end', onClose)
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
  })
}

const FAULTS: Record<number, string> = {
  403: 'the proxy does not allow this connection (403): it must allow CONNECT to the ports of endpoints, by address',
  405: 'the proxy does not know CONNECT (405)',
  407: 'the proxy wants other credentials than those of POSTRIDER_EGRESS_PROXY (407)',
}

/** RFC 9110, section 15.6: with these the proxy speaks of the server behind it, with all others of itself or of us. */
function saidOfTheServer(status: number): EgressError | null {
  if (status === 504) {
    return new EgressError(
      'CONNECT_TIMEOUT',
      'The server did not take a connection in time, says the egress proxy (504).',
    )
  }
  if (status !== 502 && status !== 503) return null
  return new EgressError('UNREACHABLE', `The server could not be reached, says the egress proxy (${status}).`)
}

const proxyFault = (what: string) =>
  `The egress proxy of this server ${what}. The endpoint is not at fault; the operator finds the reason in the log.`
const PROXY_FAILED = proxyFault('failed, or refused the connection')
export const PROXY_TOO_LATE = proxyFault('did not bring a connection about in time')
export const TUNNEL_TOO_LATE =
  'The server took no connection through the egress proxy in time. Check that it is up and that no firewall drops our packets.'
