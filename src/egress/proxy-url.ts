import { Buffer } from 'node:buffer'

/** The forward proxy that everything leaves through. `authorization` is a secret. */
export type EgressProxy = {
  protocol: 'http:' | 'https:'
  hostname: string
  port: number
  /** What `Proxy-Authorization` says. */
  authorization: string | null
}

export class MalformedProxyError extends Error {
  readonly code = 'MALFORMED_PROXY'

  constructor() {
    // The value may hold a password: it is never repeated.
    super('must look like http://user:password@proxy.internal:3128 or https://proxy.internal:443')
    this.name = 'MalformedProxyError'
  }
}

export function parseProxy(text: string): EgressProxy {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) throw new MalformedProxyError()
  // A path or query means that somebody expects another kind of proxy.
  if (!/^https?:\/\/[^/]+\/?$/i.test(text) || url.search !== '' || url.hash !== '' || url.port === '0') {
    throw new MalformedProxyError()
  }
  return {
    protocol: url.protocol,
    hostname: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port),
    authorization: basic(url),
  }
}

/** RFC 7617; a colon would end the user name early. */
function basic({ username, password }: URL): string | null {
  if (username === '' && password === '') return null
  const [user, secret] = [decode(username), decode(password)]
  if (user.includes(':')) throw new MalformedProxyError()
  return `Basic ${Buffer.from(`${user}:${secret}`, 'utf8').toString('base64')}`
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new MalformedProxyError()
  }
}
