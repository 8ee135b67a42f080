import { Buffer } from 'node:buffer'
import { type Log, silentLog } from '../log.ts'
import { type ConnectorOptions, createConnector } from './connector.ts'
import { createExchange, type EgressRequest, type EgressResult } from './exchange.ts'
import { type EgressFailure, failureOf } from './failures.ts'
import { createLines } from './lines.ts'
import { MOST_PARSED_HEADER_BYTES } from './reads.ts'
import { createResolver } from './resolver.ts'
import { sparing } from './sparing-log.ts'
import type { Hosts } from './url-rules.ts'

export type { EgressRequest, EgressResult } from './exchange.ts'
export type { EgressFailure } from './failures.ts'
export type { TlsIdentity } from './identity.ts'

/** The one door to other people's servers. */
export type Egress = {
  /** Never rejects for anything a receiver or the network does. */
  send(request: EgressRequest): Promise<EgressResult>
  /** Ends everything, also what is under way. */
  close(): Promise<void>
}

export type EgressOptions = Omit<ConnectorOptions, 'log' | 'resolve'> & {
  /** Names that the system's resolver is asked for. */
  allowHosts?: Hosts
  /** In place of our own resolver, which asks the name servers of this machine. */
  resolve?: ConnectorOptions['resolve']
  log?: Log
  /** How long an unused socket is kept. */
  idleMs?: number
  /** How long a socket is used: a host that has moved, or whose certificate has expired, is noticed after that. */
  longestLifeMs?: number
}

export function createEgress({
  allowHosts = new Set(),
  resolve = createResolver({ allowHosts }),
  log = silentLog,
  idleMs = 4000,
  longestLifeMs = 60_000,
  ...rest
}: EgressOptions): Egress {
  const connector = createConnector({ resolve, log, ...rest })
  const lines = createLines({ connector, maxHeaderBytes: MOST_PARSED_HEADER_BYTES, idleMs, longestLifeMs })
  // What strangers can bring about must not fill the log.
  const sparingLog = { ...log, error: sparing({ warn: (facts, sentence) => log.error(facts, sentence) }) }
  let closed = false
  return {
    send(request) {
      return new Promise((settle) => {
        try {
          if (closed) throw new Error('the egress is closed')
          createExchange(request, { lines, log: sparingLog, settle })
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
