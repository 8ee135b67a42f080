import { createHash } from 'node:crypto'
import { GraphQLError } from 'graphql'
import ipaddr from 'ipaddr.js'
import type { ErrorCode } from '../../schema/error-codes.ts'
import { refusal, unauthenticated } from '../graphql/errors.ts'
import type { Viewer } from '../tenants/access.ts'
import { isMisspelt } from '../tenants/bearer-text.ts'
import { createBuckets } from './buckets.ts'
import type { HttpLimits } from './limits.ts'

/** How much is left of the rate that somebody draws from; null where there is no limit. */
export type Quota = { limit: number; left: number } | null

/** Where every operation shows its key, over HTTP and WebSocket alike. */
export type Gate = {
  /**
   * Who asks with this key, from this address. Throws UNAUTHENTICATED without a valid key, and RATE_LIMITED with
   * `retryAfterMs` for one that is used too often, or when wrong keys came from its address too often.
   */
  admit(key: string | null, address: string | null): Promise<{ viewer: Viewer; quota: Quota }>
  /** Who asks with a key that was admitted a while ago. Throws UNAUTHENTICATED when it has ended since. */
  again(key: string | null, address: string | null): Promise<Viewer>
}

export type GateOptions = {
  authenticate(key: string, address: string | null): Promise<Viewer | null>
  /** Operations a second with one key, and with all portal sessions that it made for one tenant; null: as many as they like. */
  rateLimit: number | null
  limits: Pick<HttpLimits, 'wrongKeys' | 'wrongKeysPerSecond'>
  /** Monotonic, in milliseconds. */
  now?: () => number
}

const MOST_KNOWN = 10_000

/** The gate of one process: what it counts, others do not know of. */
export function createGate({ authenticate, rateLimit, limits, now = monotonic }: GateOptions): Gate {
  const operations = rateLimit === null ? null : createBuckets({ perSecond: rateLimit, burst: rateLimit, now })
  const wrongKeys = createBuckets({ perSecond: limits.wrongKeysPerSecond, burst: limits.wrongKeys, now })
  // Keys and tokens that were right, and the rate that they draw from. They are not held up by somebody who guesses from
  // the same address, a proxy for instance.
  const known = new Map<string, string>()

  /** A key that was not right before costs one of its address's tries, which it gets back when it is. */
  const guess = async (key: string, name: string, address: string | null) => {
    // Nobody has to be asked, so nobody's tries are used up: behind a proxy all share one address.
    if (isMisspelt(key)) throw unauthenticated()
    const from = networkOf(address)
    const { waitMs } = wrongKeys.take(from)
    if (waitMs > 0) throw tooManyWrongKeys(waitMs)
    const viewer = await authenticate(key, address).catch((error: unknown) => {
      wrongKeys.giveBack(from)
      throw error
    })
    if (viewer === null) throw unauthenticated()
    wrongKeys.giveBack(from)
    if (known.size >= MOST_KNOWN) known.clear()
    known.set(name, rateOf(viewer))
    return viewer
  }
  return {
    async again(key, address) {
      const viewer = key === null ? null : await authenticate(key, address)
      if (viewer === null) throw unauthenticated()
      return viewer
    },
    async admit(key, address) {
      if (key === null) throw unauthenticated()
      // Not the key itself: nothing that can be used lies about in memory.
      const name = createHash('sha256').update(key).digest('base64')
      // Before the database is asked: a key beyond its rate costs next to nothing.
      const drawsFrom = known.get(name)
      const waitMs = drawsFrom === undefined ? 0 : (operations?.waitMs(drawsFrom) ?? 0)
      if (rateLimit !== null && waitMs > 0) throw new TooManyOperations(rateLimit, waitMs)
      const viewer = known.has(name) ? await authenticate(key, address) : await guess(key, name, address)
      if (viewer === null) {
        known.delete(name)
        throw unauthenticated()
      }
      if (operations === null || rateLimit === null) return { viewer, quota: null }
      const taken = operations.take(rateOf(viewer))
      if (taken.waitMs > 0) throw new TooManyOperations(rateLimit, taken.waitMs)
      return { viewer, quota: { limit: rateLimit, left: taken.left } }
    },
  }
}

/**
 * Whose rate a caller draws from. The portal sessions that a key made for one tenant share one, so that making more of them brings
 * nothing; another tenant's, and the key itself, are not held up by them, nor told how busy they are.
 */
function rateOf({ kind, keyId, tenantId }: Viewer): string {
  return kind === 'PORTAL_SESSION' ? `${keyId} ${tenantId}` : keyId
}

/** RATE_LIMITED for a key that is used too often; of wrong keys there is no quota to tell. */
export class TooManyOperations extends GraphQLError {
  readonly quota: NonNullable<Quota>

  constructor(limit: number, retryAfterMs: number) {
    const code: ErrorCode = 'RATE_LIMITED'
    super(
      `This API key, or all portal sessions of this tenant together, may be used for ${limit} operations a second (POSTRIDER_RATE_LIMIT). Nothing was done: try again in ${retryAfterMs} ms.`,
      { extensions: { code, retryAfterMs } },
    )
    this.quota = { limit, left: 0 }
  }
}

function tooManyWrongKeys(retryAfterMs: number) {
  const message = `Too many wrong API keys came from this address. Try again in ${retryAfterMs} ms.`
  return refusal('RATE_LIMITED', message, { retryAfterMs })
}

/** An IPv4 address, or the /64 of an IPv6 one: whoever has one address of it has them all. */
export function networkOf(address: string | null): string {
  if (address === null || !ipaddr.isValid(address)) return 'unknown'
  const parsed = ipaddr.process(address)
  return parsed.kind() === 'ipv4' ? parsed.toString() : parsed.toNormalizedString().split(':').slice(0, 4).join(':')
}

const monotonic = () => performance.now()
