/** How far the opening of a socket has come, and what each phase took. Filled in as it goes, readable at any moment. */
export type Opening = {
  /** `proxy` is the way to the proxy, `tunnel` the way from there to the server; with one, they are what connecting takes. */
  phase: 'dns' | 'connect' | 'proxy' | 'tunnel' | 'tls' | 'open'
  dnsMs: number | null
  connectMs: number | null
  tlsMs: number | null
  remoteAddress: string | null
}

export function newOpening(): Opening {
  return { phase: 'dns', dnsMs: null, connectMs: null, tlsMs: null, remoteAddress: null }
}
