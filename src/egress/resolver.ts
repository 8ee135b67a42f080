import { type LookupAddress, lookup as systemLookup } from 'node:dns'

/** Turns a host name into all its addresses, as IP texts. Rejects when there are none or when it takes too long. */
export type Resolve = (hostname: string) => Promise<string[]>

type Lookup = (
  hostname: string,
  options: { all: true; order: 'verbatim' },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

export class ResolveTimeoutError extends Error {
  readonly code = 'RESOLVE_TIMEOUT'

  constructor(hostname: string, timeoutMs: number) {
    super(`${hostname} did not resolve within ${timeoutMs} ms`)
    this.name = 'ResolveTimeoutError'
  }
}

/** The resolver of the operating system (getaddrinfo), which reads /etc/hosts, with a deadline that getaddrinfo lacks. */
export function createSystemResolver({
  timeoutMs = 4000,
  lookup = systemLookup as Lookup,
}: {
  timeoutMs?: number
  lookup?: Lookup
} = {}): Resolve {
  return (hostname) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new ResolveTimeoutError(hostname, timeoutMs)), timeoutMs)
      lookup(hostname, { all: true, order: 'verbatim' }, (error, addresses) => {
        clearTimeout(timer)
        if (error) reject(error)
        else resolve(addresses.map(({ address }) => address))
      })
    })
}
