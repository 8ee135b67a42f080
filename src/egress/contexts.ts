import { constants } from 'node:crypto'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import type { TlsIdentity } from './identity.ts'

// Made anew one costs a millisecond.
const MOST_CONTEXTS = 1000
const MOST_CONTEXT_BYTES = 256 * 1024 * 1024
// Of the PEM that it is made of. RSS for each of 300 contexts: 32 KiB with a certificate for 4,096 bits (5 KB), 340 KiB with 30
// issuers and 30 authorities besides (84 KB); but 680 KiB with one of 2,900 names that is its own authority (27 KB).
const BYTES_PER_CHARACTER = 27

/** One context for all sockets of an identity: making one per socket parses certificates and settings again each time. */
export function createContexts(options: SecureContextOptions): (identity: TlsIdentity | null) => SecureContext {
  // A server could begin the handshake anew without end: 3,900 times in half a second, at our cost as well as its own.
  const secureOptions = (options.secureOptions ?? 0) | constants.SSL_OP_NO_RENEGOTIATION
  const kept = new Map<string, { context: SecureContext; bytes: number }>()
  let bytesKept = 0

  const make = (identity: TlsIdentity | null) => {
    const own = identity === null ? {} : { cert: identity.certificatePem, key: identity.privateKeyPem }
    const ca = identity?.caPem ? { ca: identity.caPem } : {}
    return { context: createSecureContext({ ...options, ...own, ...ca, secureOptions }), bytes: weightOf(identity) }
  }
  const drop = (key: string) => {
    bytesKept -= kept.get(key)?.bytes ?? 0
    kept.delete(key)
  }
  return (identity) => {
    const key = identity?.key ?? ''
    const one = kept.get(key) ?? make(identity)
    // The one used last is the last to go.
    drop(key)
    while (kept.size > 0 && (kept.size >= MOST_CONTEXTS || bytesKept + one.bytes > MOST_CONTEXT_BYTES)) {
      drop(kept.keys().next().value as string)
    }
    kept.set(key, one)
    bytesKept += one.bytes
    return one.context
  }
}

function weightOf(identity: TlsIdentity | null): number {
  if (identity === null) return 0
  const { certificatePem, privateKeyPem, caPem } = identity
  return BYTES_PER_CHARACTER * (certificatePem.length + privateKeyPem.length + (caPem?.length ?? 0))
}
