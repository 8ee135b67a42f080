export type Target = { protocol: 'http:' | 'https:'; hostname: string; port: number }

/** How far the opening of a socket has come, and what each phase took. Filled in as it goes, readable at any moment. */
export type Opening = {
  phase: 'dns' | 'connect' | 'proxy' | 'tls' | 'open'
  dnsMs: number | null
  connectMs: number | null
  tlsMs: number | null
  remoteAddress: string | null
}

export function newOpening(): Opening {
  return { phase: 'dns', dnsMs: null, connectMs: null, tlsMs: null, remoteAddress: null }
}
