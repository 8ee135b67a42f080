import { Buffer } from 'node:buffer'
import type { SecureContextOptions } from 'node:tls'
import { type Log, silentLog } from '../log.ts'
import type { Networks } from './address-rules.ts'
import { createConnector, type Dial } from './connector.ts'
import { createExchange, type EgressRequest, type EgressResult } from './exchange.ts'
import { type EgressFailure, failureOf } from './failures.ts'
import { createLines } from './lines.ts'
import { createSystemResolver, type Resolve } from './resolver.ts'

export type { EgressRequest, EgressResult } from './exchange.ts'
export type { EgressFailure } from './failures.ts'

/** The one door to other people's servers. */
export type Egress = {
  /** Never rejects for anything a receiver or the network does. */
  send(request: EgressRequest): Promise<EgressResult>
  /** Ends everything, also what is under way. */
  close(): Promise<void>
}

export type EgressOptions = {
  allowNetworks: Networks
  resolve?: Resolve
  dial?: Dial
  log?: Log
  tls?: SecureContextOptions
  connectTimeoutMs?: number
  /** How long an unused socket is kept. */
  idleMs?: number
  /** How much of a body is read, and counted, before the socket is closed. */
  maxReadBytes?: number
}

const MAX_HEADER_BYTES = 16 * 1024

export function createEgress({
  allowNetworks,
  resolve = createSystemResolver(),
  log = silentLog,
  idleMs = 4000,
  maxReadBytes = 1024 * 1024,
  ...rest
}: EgressOptions): Egress {
  const connector = createConnector({ allowNetworks, resolve, log, ...rest })
  const lines = createLines({ connector, maxHeaderBytes: MAX_HEADER_BYTES, idleMs })
  let closed = false
  return {
    send(request) {
      return new Promise((settle) => {
        try {
          if (closed) throw new Error('the egress is closed')
          createExchange(request, { lines, maxReadBytes, log, settle })
        } catch (error) {
          log.error({ err: error }, 'a request could not be made')
          settle(notSent(failureOf(error)))
        }
      })
    },
    async close() {
      closed = true
      await lines.close()
    },
  }
}

/** The result of a request that never left. */
export function notSent(failure: EgressFailure): EgressResult {
  return {
    status: null,
    headers: [],
    body: Buffer.alloc(0),
    bodyBytes: null,
    truncated: false,
    remoteAddress: null,
    reusedSocket: false,
    timings: { dnsMs: null, connectMs: null, tlsMs: null, firstByteMs: null, totalMs: 0 },
    failure,
  }
}
