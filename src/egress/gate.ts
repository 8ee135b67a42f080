import { isIP } from 'node:net'
import type { Log } from '../log.ts'
import { judgeAddress, type Networks } from './address-rules.ts'
import { adviceFor, EgressError } from './failures.ts'
import type { Opening } from './opening.ts'
import { isOwnAddress, type OwnAddress } from './own-address.ts'
import type { Resolve } from './resolver.ts'
import { sparing } from './sparing-log.ts'
import type { Target } from './target.ts'

/** The addresses of a target that may be dialled, at least one; throws why there is none. */
export type Gate = (target: Target, opening: Opening, signal: AbortSignal) => Promise<string[]>

export type GateOptions = {
  allowNetworks: Networks
  httpsOnly?: boolean
  resolve: Resolve
  /** Where this process takes requests, or null while it does not. */
  ownAddress?: () => OwnAddress | null
  log: Log
}

// Whoever owns a name can put a thousand addresses behind it: that would be a port scan by us, and a long line in the log.
const MOST_ADDRESSES = 8

type Refusal = { address: string; reason: string; own?: boolean }

/** The first two gates: the IP literal, or the resolver's answers, each of them judged, on every attempt. */
export function createGate({
  allowNetworks,
  httpsOnly = false,
  resolve,
  ownAddress = () => null,
  log,
}: GateOptions): Gate {
  // Apart: names that hang must not keep what is refused out of the log.
  const [warnOfRefusal, warnOfName] = [sparing(log), sparing(log)]

  const refusalOf = (address: string, port: number): Refusal[] => {
    const verdict = judgeAddress(address, allowNetworks)
    if (!verdict.allowed) return [{ address, reason: verdict.reason }]
    if (!isOwnAddress(address, port, ownAddress())) return []
    return [{ address, reason: 'is where this process takes requests: a delivery loop', own: true }]
  }

  return async ({ protocol, hostname, port }, opening, signal) => {
    if (httpsOnly && protocol === 'http:') throw new EgressError('BLOCKED_ADDRESS', HTTPS_ONLY)
    const addresses = isIP(hostname) === 0 ? await resolveOnce(hostname, opening, signal) : [hostname]
    const refusals = addresses.flatMap((address) => refusalOf(address, port))
    const refused = new Set(refusals.map(({ address }) => address))
    const vetted = addresses.filter((address) => !refused.has(address))
    const facts = { host: hostname, port, refused: refusals.slice(0, MOST_ADDRESSES) }
    if (vetted.length > 0) {
      if (refusals.length > 0) log.debug(facts, 'Left out addresses of an endpoint')
      return vetted.slice(0, MOST_ADDRESSES)
    }
    // The operator learns the address, the consumer only the host it wrote itself: no map of the inner network for asking.
    warnOfRefusal(facts, 'Refused to connect to an endpoint')
    throw refusals.some(({ own }) => own) ? pointsBackToUs(hostname) : blocked(hostname)
  }

  async function resolveOnce(hostname: string, opening: Opening, signal: AbortSignal): Promise<string[]> {
    const startedAt = performance.now()
    try {
      return await untilAborted(resolve(hostname), signal)
    } catch (error) {
      // Silent name servers may be ours.
      const cause = error instanceof EgressError ? error.cause : error
      if (cause !== undefined)
        warnOfName({ host: hostname, err: cause }, 'The host of an endpoint could not be looked up')
      throw error instanceof EgressError ? error : new EgressError('DNS', adviceFor('DNS'), { cause: error })
    } finally {
      opening.dnsMs = performance.now() - startedAt
    }
  }
}

const HTTPS_ONLY = 'Nothing was sent: this server delivers to https URLs only. Change the URL of the endpoint to https.'

/** For the consumer, who cannot change what the operator allows but can ask. */
export function blocked(hostname: string): EgressError {
  return new EgressError(
    'BLOCKED_ADDRESS',
    `Nothing was sent: the host ${hostname} does not point to a public address. If that is intended, the operator can allow its network.`,
  )
}

function pointsBackToUs(hostname: string): EgressError {
  return new EgressError(
    'BLOCKED_ADDRESS',
    `Nothing was sent: the host ${hostname} points back to Postrider itself, and events would go round in circles. Use the URL of your receiver.`,
  )
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(new EgressError('DNS', adviceFor('DNS')))
    signal.addEventListener('abort', onAbort)
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
    if (signal.aborted) onAbort()
  })
}
