import { isIP } from 'node:net'
import { Mistake } from '../mistake.ts'
import { judgeAddress, type Networks } from './address-rules.ts'
import { otherService } from './ports.ts'

export const LONGEST_URL = 2048
const LONGEST_HOST = 253
const LONGEST_LABEL = 63

/** Names that the system's own resolver may be asked for, in lower case and ASCII. */
export type Hosts = ReadonlySet<string>

/** What the operator has decided about URLs. */
export type UrlRules = { allowHosts: Hosts; allowNetworks: Networks; httpsOnly: boolean }

export class MalformedHostsError extends Error {
  readonly code = 'MALFORMED_HOSTS'

  constructor(entries: readonly string[]) {
    super(
      `not a host name (like localhost or receiver.internal; addresses go to POSTRIDER_ALLOW_NETWORKS): ${entries.map((e) => `"${e}"`).join(', ')}`,
    )
    this.name = 'MalformedHostsError'
  }
}

/** Reads `localhost, receiver.internal`: host names, separated by commas or spaces. */
export function parseHosts(text: string): Hosts {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== '')
  const names = entries.map(nameIn)
  const malformed = entries.filter((_, index) => names[index] === null)
  if (malformed.length > 0) throw new MalformedHostsError(malformed)
  return new Set(names as string[])
}

/**
 * Whether a URL may be an endpoint's, judged when it is written. Returns the normalised form, which is stored, shown and
 * sent to; throws INVALID_URL with what is wrong and how to put it right. Names are not looked up here: what they mean is
 * judged at every attempt.
 */
export function checkUrl(text: string, path: readonly string[], rules: UrlRules): string {
  const wrong = whatIsWrong(text, rules)
  if (wrong !== null) throw new Mistake('INVALID_URL', [...path], wrong)
  return new URL(text).href
}

function whatIsWrong(text: string, rules: UrlRules): string | null {
  const unwritten = wrongInText(text)
  if (unwritten !== null) return unwritten
  if (!URL.canParse(text)) {
    return `${quote(text)} is not a complete URL; one looks like "https://example.com/webhooks".`
  }
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    return `The URL begins with "${url.protocol}"; only http: and https: can be delivered to.`
  }
  // Before anything that repeats the URL: a password is never echoed.
  if (hasUserinfo(text, url)) return 'The URL holds a user name or password before "@"; take it out.'
  if (text.includes('#')) return `The URL ends with a fragment ("#…"), which is never sent; take it out.`
  if (!/^https?:\/\/[^/]/i.test(text)) return 'The URL must begin with "http://" or "https://" and a host name.'
  if (url.href.length > LONGEST_URL) {
    return `Written out in full the URL has ${url.href.length} characters; at most ${LONGEST_URL} are allowed.`
  }
  if (rules.httpsOnly && url.protocol === 'http:') {
    return 'The URL begins with "http:", and this server delivers to https only (POSTRIDER_HTTPS_ONLY).'
  }
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const wrongHost = isIP(host) === 0 ? wrongName(host, rules.allowHosts) : wrongAddress(text, url, host, rules)
  return wrongHost ?? wrongPort(url)
}

/** What the URL parser would silently take out or turn round: the caller means something else than we would send to. */
function wrongInText(text: string): string | null {
  if (text.length > LONGEST_URL) {
    return `The URL has ${text.length} characters; at most ${LONGEST_URL} are allowed.`
  }
  if (/\p{Cc}/u.test(text)) return 'The URL holds a tab, a line break or another control character.'
  if (text.includes('\\')) return 'The URL holds a backslash; URLs are written with "/".'
  if (text !== text.trim()) return 'The URL begins or ends with a space.'
  if (!text.isWellFormed()) return 'The URL holds half a character (a lone surrogate).'
  // UTS 46 maps these to nothing, so that the host would be another one than it seems.
  if (/\p{Default_Ignorable_Code_Point}/u.test(text)) return 'The URL holds an invisible character.'
  return null
}

function wrongAddress(text: string, { href }: URL, address: string, { allowNetworks }: UrlRules): string | null {
  const verdict = judgeAddress(address, allowNetworks)
  if (verdict.allowed) return null
  const read = href.startsWith(text) ? '' : ` (it is read as ${quote(href)})`
  const advice = verdict.meant
    ? ` The operator of this server can allow it by adding ${verdict.meant} to POSTRIDER_ALLOW_NETWORKS.`
    : ''
  return `${quote(text)} ${verdict.reason}${read}.${advice}`
}

function wrongName(host: string, allowHosts: Hosts): string | null {
  // `example.com.` is the same host to DNS and another one to certificates, caches and everybody's eyes.
  if (host.endsWith('.')) return `The host ${quote(host)} ends with a dot; take it out.`
  if (host.length > LONGEST_HOST) {
    return `The host name has ${host.length} characters; DNS knows at most ${LONGEST_HOST}.`
  }
  for (const label of host.split('.')) {
    if (label === '') return `The host ${quote(host)} has two dots in a row, or begins with one.`
    if (label.length > LONGEST_LABEL) {
      return `The part ${quote(label)} of the host name has ${label.length} characters; DNS knows at most ${LONGEST_LABEL}.`
    }
    if (!/^[a-z0-9_-]+$/.test(label)) {
      return `The host ${quote(host)} holds other characters than letters, digits, hyphens and underscores.`
    }
  }
  if (allowHosts.has(host) || (host.includes('.') && !/\.(localhost|internal|local)$/.test(host))) return null
  return `The host ${quote(host)} is no public host name. The operator of this server can allow it with POSTRIDER_ALLOW_HOSTS=${host}, and its network with POSTRIDER_ALLOW_NETWORKS.`
}

function wrongPort({ port, hostname }: URL): string | null {
  if (port === '') return null
  if (port === '0') return 'Port 0 cannot be delivered to; ports are 1 to 65535.'
  const service = otherService(Number(port))
  return service === null ? null : `Port ${port} of ${hostname} is well known for ${service}, not HTTP.`
}

function nameIn(entry: string): string | null {
  if (!URL.canParse(`http://${entry}/`)) return null
  const { hostname, pathname, host, username } = new URL(`http://${entry}/`)
  // Nothing but a host: `db:5432` and `a/b` are not, and neither are addresses, which are judged as addresses.
  const isName = host === hostname && pathname === '/' && username === '' && !/[#?@/:]/.test(entry)
  return isName && isIP(hostname) === 0 && wrongName(hostname, new Set([hostname])) === null ? hostname : null
}

function hasUserinfo(text: string, url: URL): boolean {
  const authority = /^[^:]*:\/*([^/?#]*)/.exec(text)?.[1] ?? ''
  return url.username !== '' || url.password !== '' || authority.includes('@')
}

/** The text for an error message, short and without what may stand before an "@". */
function quote(text: string): string {
  const harmless = text.includes('@') ? text.replace(/^.*@/s, '…@') : text
  return JSON.stringify(harmless.length > 100 ? `${harmless.slice(0, 100)}…` : harmless)
}
