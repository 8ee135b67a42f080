import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

type Address = ipaddr.IPv4 | ipaddr.IPv6
type Network = readonly [Address, number]

/** The operator's allow list: networks that endpoints may point into although they are not public. */
export type Networks = readonly Network[]

export type Verdict = { allowed: boolean; reason?: string }

/** A rule's opinion of an address, or null when it has none and the next rule decides. */
type Rule = (address: Address, allow: Networks) => Verdict | null

export class MalformedNetworksError extends Error {
  readonly code = 'MALFORMED_NETWORKS'
  readonly entries: readonly string[]

  constructor(entries: readonly string[]) {
    super(`not a network (like 10.0.0.0/8 or fd00::/8) or an address: ${entries.map((e) => `"${e}"`).join(', ')}`)
    this.name = 'MalformedNetworksError'
    this.entries = entries
  }
}

/** Reads `127.0.0.0/8, ::1 fd00::/8`: networks and single addresses, separated by commas or spaces. */
export function parseNetworks(text: string): Networks {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== '')
  const networks = entries.map((entry) => parseNetwork(entry))
  const malformed = entries.filter((_, index) => networks[index] === null)
  if (malformed.length > 0) throw new MalformedNetworksError(malformed)
  return networks.filter((network) => network !== null)
}

/** Whether a socket to this address may be opened. The first rule with an opinion decides; without one it is refused. */
export function judgeAddress(address: string, allow: Networks): Verdict {
  const parsed = parseAddress(address)
  if (parsed === null) return { allowed: false, reason: 'not an IP address' }
  for (const rule of RULES) {
    const verdict = rule(parsed, allow)
    if (verdict !== null) return verdict
  }
  return { allowed: false, reason: 'not in an allowed network' }
}

/** Whether two spellings name the same address; `::ffff:127.0.0.1` is 127.0.0.1. */
export function sameAddress(one: string, other: string): boolean {
  const a = parseAddress(one)
  const b = parseAddress(other)
  return a !== null && b !== null && a.toNormalizedString() === b.toNormalizedString()
}

const RULES: readonly Rule[] = [insideAllowedNetwork]

function insideAllowedNetwork(address: Address, allow: Networks): Verdict | null {
  const inside = allow.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits))
  return inside ? { allowed: true } : null
}

function parseNetwork(entry: string): Network | null {
  const [text, prefix, ...rest] = entry.split('/')
  if (text === undefined || rest.length > 0 || isIP(text) === 0 || text.includes('%')) return null
  const address = ipaddr.parse(text)
  const size = address.kind() === 'ipv4' ? 32 : 128
  const bits = prefix === undefined ? size : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN
  if (!(bits <= size)) return null
  // Addresses are unwrapped before they are judged, so a mapped network must be unwrapped as well, or it matches nothing.
  if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && bits >= 96) {
    return [address.toIPv4Address(), bits - 96]
  }
  return [address, bits]
}

function parseAddress(text: string): Address | null {
  // node:net first: ipaddr.js also reads `127.1`, `0x7f.1` and `2130706433`, which are no answers of a resolver.
  if (isIP(text) === 0) return null
  const address = ipaddr.parse(text)
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address
}
