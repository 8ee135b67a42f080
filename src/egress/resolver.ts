import { type LookupAddress, lookup as systemLookup } from 'node:dns'
import { EgressError } from './failures.ts'
import { type Answer, type Ask, createNameServers, MOST_ADDRESSES } from './name-servers.ts'
import type { Hosts } from './url-rules.ts'

/** Turns a host name into all its addresses, as IP texts. Rejects with an `EgressError` of class DNS when there are none. */
export type Resolve = (hostname: string) => Promise<string[]>

export type ResolverOptions = {
  /** Names that the system's resolver is asked for. */
  allowHosts?: Hosts
  askNameServers?: Ask
  askSystem?: (hostname: string) => Promise<Answer>
  /** How long IPv6 may keep us waiting once there are IPv4 addresses, and the other way round. */
  graceMs?: number
  /** How many names are remembered. */
  mostNames?: number
  now?: () => number
}

/** One look-up, shared by all who want the name while it lasts. */
type LookUp = { heard: { answer: Answer; until: number }[]; ready: Promise<void> }

// An endpoint that moves is found within half a minute whatever its TTL says; one that was wrong, in a few seconds. A failure
// is remembered just long enough that a burst of attempts does not ask again one by one.
const LONGEST_MS = 30_000
const NONE_MS = 5000
const FAILED_MS = 1000
const SYSTEM_MS = 5000

/**
 * Asks the name servers for both families at once, and remembers for a short while what they said. The system's resolver
 * (getaddrinfo) is asked for the operator's own names only: it has few threads, and two dead name servers block them all.
 */
export function createResolver({
  allowHosts = new Set(),
  askNameServers = createNameServers(),
  askSystem = createSystemAsk(),
  graceMs = 300,
  mostNames = 1000,
  now = () => performance.now(),
}: ResolverOptions = {}): Resolve {
  const known = new Map<string, LookUp>()

  const begin = (name: string): LookUp => {
    const asks = allowHosts.has(name) ? [askSystem(name)] : [askNameServers(name, 4), askNameServers(name, 6)]
    const lookUp: LookUp = { heard: [], ready: Promise.resolve() }
    lookUp.ready = new Promise((resolve) => {
      const asked = asks.map((ask) => ask.catch((cause: unknown): Answer => ({ kind: 'failed', cause })))
      asked.forEach((ask, index) => {
        ask.then((answer) => {
          // IPv4 first: a machine without IPv6 is the more common one.
          lookUp.heard[index] = { answer, until: now() + lifeOf(answer) }
          if (answer.kind === 'addresses') setTimeout(resolve, graceMs).unref()
        })
      })
      Promise.all(asked).then(() => resolve())
    })
    return lookUp
  }

  return async (hostname) => {
    const name = hostname.replace(/\.$/, '').toLowerCase()
    let lookUp = known.get(name)
    if (lookUp === undefined || expiryOf(lookUp) <= now()) {
      lookUp = begin(name)
      // Deleted first, so that the oldest look-up stands first.
      known.delete(name)
      known.set(name, lookUp)
      if (known.size > mostNames) known.delete(known.keys().next().value as string)
    }
    await lookUp.ready
    return addressesIn(lookUp, name)
  }
}

function lifeOf(answer: Answer): number {
  if (answer.kind === 'addresses') return Math.min(answer.ttlMs, LONGEST_MS)
  return answer.kind === 'none' ? NONE_MS : FAILED_MS
}

/** While nothing is heard, it goes on. That a name has no IPv6 says nothing of how long its IPv4 addresses hold. */
function expiryOf({ heard }: LookUp): number {
  const found = heard.some(({ answer }) => answer.kind === 'addresses')
  return Math.min(...heard.filter(({ answer }) => !found || answer.kind !== 'none').map(({ until }) => until))
}

function addressesIn({ heard }: LookUp, name: string): string[] {
  const answers = heard.map(({ answer }) => answer)
  const addresses = answers.flatMap((answer) => (answer.kind === 'addresses' ? answer.addresses : []))
  if (addresses.length > 0) return addresses
  const failed = answers.find((answer) => answer.kind === 'failed')
  if (failed !== undefined) {
    throw new EgressError(
      'DNS',
      `The name servers did not tell the address of ${name}: they gave no answer, or an error. Check the name servers of its domain.`,
      { cause: failed.cause },
    )
  }
  if (answers.some((answer) => answer.kind === 'none' && answer.nameExists)) {
    throw new EgressError('DNS', `The host name ${name} has no address: its DNS records hold neither A nor AAAA.`)
  }
  throw new EgressError(
    'DNS',
    `There is no host of the name ${name}. Check the spelling of the URL and the DNS records; a name that only the sender's own network knows must be allowed by its operator.`,
  )
}

type Lookup = (
  hostname: string,
  options: { all: true; order: 'verbatim' },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

/** The resolver of the operating system, which reads /etc/hosts, with a deadline that it lacks itself. */
export function createSystemAsk({
  timeoutMs = 4000,
  lookup = systemLookup as Lookup,
}: {
  timeoutMs?: number
  lookup?: Lookup
} = {}): (hostname: string) => Promise<Answer> {
  // One that is late still holds its thread: until it ends, the same name takes no other.
  const underWay = new Map<string, Promise<Answer>>()
  const begin = (hostname: string) => {
    const asking = new Promise<Answer>((resolve) => {
      lookup(hostname, { all: true, order: 'verbatim' }, (error, found) => {
        if (error?.code === 'ENOTFOUND') resolve({ kind: 'none', nameExists: false })
        else if (error) resolve({ kind: 'failed', cause: error })
        else
          resolve({
            kind: 'addresses',
            addresses: found.slice(0, MOST_ADDRESSES).map(({ address }) => address),
            ttlMs: SYSTEM_MS,
          })
      })
    })
    underWay.set(hostname, asking)
    asking.then(() => underWay.delete(hostname))
    return asking
  }
  return (hostname) =>
    new Promise((resolve) => {
      const late = new Error(`the system's resolver took longer than ${timeoutMs} ms`)
      const timer = setTimeout(() => resolve({ kind: 'failed', cause: late }), timeoutMs)
      const asking = underWay.get(hostname) ?? begin(hostname)
      asking.then((answer) => {
        clearTimeout(timer)
        resolve(answer)
      })
    })
}
