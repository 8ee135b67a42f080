import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

type Address = ipaddr.IPv4 | ipaddr.IPv6
type Network = readonly [Address, number]

/** The operator's allow list: networks that endpoints may point into although they are not public. */
export type Networks = readonly Network[]

/**
 * The reason reads on from the address: "points into a private network". `meant` is the network to allow, where somebody
 * may well want to deliver there.
 */
export type Verdict = { allowed: true } | { allowed: false; reason: string; meant?: string }

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

/** Networks written as one of their addresses: it would open a million addresses where perhaps one was meant. */
export class AmbiguousNetworksError extends Error {
  readonly code = 'MALFORMED_NETWORKS'

  constructor(ambiguities: readonly string[]) {
    super(ambiguities.join('; '))
    this.name = 'AmbiguousNetworksError'
  }
}

/** Reads `127.0.0.0/8, ::1 fd00::/8`: networks and single addresses, separated by commas or spaces. */
export function parseNetworks(text: string): Networks {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== '')
  const networks = entries.map((entry) => parseNetwork(entry))
  const malformed = entries.filter((_, index) => networks[index] === null)
  if (malformed.length > 0) throw new MalformedNetworksError(malformed)
  const ambiguous = entries.flatMap((entry, index) => ambiguity(entry, networks[index] as Network))
  if (ambiguous.length > 0) throw new AmbiguousNetworksError(ambiguous)
  return networks.filter((network) => network !== null)
}

/** Whether a socket to this address may be opened. The first rule with an opinion decides; what is left is public. */
export function judgeAddress(address: string, allow: Networks): Verdict {
  const parsed = parseAddress(address)
  return parsed === null ? { allowed: false, reason: 'is not an IP address' } : judge(parsed, allow)
}

/** Whether two spellings name the same address; `::ffff:127.0.0.1` is 127.0.0.1. */
export function sameAddress(one: string, other: string): boolean {
  const a = parseAddress(one)
  const b = parseAddress(other)
  return a !== null && b !== null && isSame(a, b)
}

function judge(address: Address, allow: Networks): Verdict {
  for (const rule of RULES) {
    const verdict = rule(address, allow)
    if (verdict !== null) return verdict
  }
  return { allowed: true }
}

const RULES: readonly Rule[] = [metadataUnlessNamed, insideAllowedNetwork, isatap, insideForbiddenNetwork, notGlobal]

// Whoever can make us call one of these holds the machine's credentials. An allowed 169.254.0.0/16 or 0.0.0.0/0 does not
// mean them; an entry for the one address does. From the documentation of the providers and of cloud-init's data sources.
const METADATA = [
  // Nearly all of them; AWS ECS and EKS, and AWS by IPv6.
  ...parseNetworks('169.254.169.254 169.254.170.2 169.254.170.23 fd00:ec2::254 fd00:ec2::23'),
  // Google by IPv6; Azure, by a public number; Oracle, the classic and by IPv6.
  ...parseNetworks('fd20:ce::254 168.63.129.16 192.0.0.192 fd00:c1::a9fe:a9fe'),
  // Alibaba; Tencent.
  ...parseNetworks('100.100.100.200 fd00:100::100:200 169.254.0.23 169.254.10.10'),
  // OpenStack by IPv6; Akamai; Scaleway.
  ...parseNetworks('fe80::a9fe:a9fe fd00:a9fe:a9fe::1 169.254.42.42 fd00:42::42'),
]

type Forbidden = { network: Network; reason: string; meant: boolean }

function forbid(reason: string, networks: string, meant = false): Forbidden[] {
  return parseNetworks(networks).map((network) => ({ network, reason, meant }))
}

const MEANT = true

// IANA, "IPv4 Special-Purpose Address Registry" and "IPv6 Special-Purpose Address Registry" (RFC 6890 and its successors),
// and multicast.
const FORBIDDEN: readonly Forbidden[] = [
  ...forbid('points back to this machine', '127.0.0.0/8 ::1', MEANT),
  ...forbid('points to an address that stands for "this machine"', '0.0.0.0/8 ::'),
  ...forbid('points into a private network', '10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7', MEANT),
  ...forbid('points into the shared network of a provider', '100.64.0.0/10', MEANT),
  ...forbid('points to a link-local address', '169.254.0.0/16', MEANT),
  ...forbid('points to a link-local address', 'fe80::/10 fec0::/10'),
  ...forbid('points into a network for benchmarks', '198.18.0.0/15', MEANT),
  ...forbid('points into a network for documentation', '192.0.2.0/24 198.51.100.0/24 203.0.113.0/24'),
  ...forbid('points into a network for documentation', '2001:db8::/32 3fff::/20'),
  ...forbid('points into a network for protocols', '192.0.0.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24'),
  ...forbid('points into a network for protocols', '192.175.48.0/24 2001::/23 2620:4f:8000::/48 3ffe::/16'),
  ...forbid('points to a multicast or reserved address', '224.0.0.0/4 240.0.0.0/4 ff00::/8'),
  // Refused whatever is inside: the gateway may reach what we may not, and what is inside can be written in many ways.
  ...forbid('points through a gateway into IPv4', '64:ff9b::/96 64:ff9b:1::/48 2002::/16'),
]

const GLOBAL_UNICAST = parseNetworks('2000::/3')

function metadataUnlessNamed(address: Address, allow: Networks): Verdict | null {
  const meanings = [address, ...carriedV4(address, null)]
  if (!meanings.some((meaning) => METADATA.some(([metadata]) => isSame(metadata, meaning)))) return null
  return isNamed(address, allow) ? { allowed: true } : { allowed: false, reason: 'points to a metadata service' }
}

function insideAllowedNetwork(address: Address, allow: Networks): Verdict | null {
  // Whoever allows a gateway means what is public behind it, not the machine that it stands on.
  const through = ([, bits]: Network) => carriedV4(address, bits).every((v4) => judge(v4, allow).allowed)
  const allowed = allow.some((network) => contains(network, address) && through(network))
  return allowed || isNamed(address, allow) ? { allowed: true } : null
}

function insideForbiddenNetwork(address: Address): Verdict | null {
  const found = FORBIDDEN.find(({ network }) => contains(network, address))
  if (found === undefined) return null
  const { reason, network, meant } = found
  return { allowed: false, reason, ...(meant ? { meant: network.join('/') } : {}) }
}

/** RFC 5214, section 6.1: an interface identifier of 0000:5efe or 0200:5efe, and the IPv4 address behind the tunnel. */
function isatap(address: Address): Verdict | null {
  return isIsatap(address) ? { allowed: false, reason: 'points into an IPv4 tunnel (ISATAP)' } : null
}

function notGlobal(address: Address): Verdict | null {
  if (address.kind() === 'ipv4' || GLOBAL_UNICAST.some((network) => contains(network, address))) return null
  return { allowed: false, reason: 'points outside the public IPv6 addresses (2000::/3)' }
}

function isIsatap(address: Address): boolean {
  const [u, zero, oui, type] = address.toByteArray().slice(8)
  return (u === 0 || u === 2) && zero === 0 && oui === 0x5e && type === 0xfe
}

const [COMPATIBLE, NEITHER, TRANSLATED, NAT64, LOCAL_NAT64, SIX_TO_FOUR] = parseNetworks(
  // `::` and `::1` look compatible with IPv4 and are not.
  '::/96 ::/127 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 2002::/16',
) as [Network, Network, Network, Network, Network, Network]

// RFC 6052, section 2.2: where the IPv4 address stands behind a prefix of so many bits; byte 8 is left out.
const NAT64_PLACES = new Map([
  [48, [6, 7, 9, 10]],
  [56, [7, 9, 10, 11]],
  [64, [9, 10, 11, 12]],
  [96, [12, 13, 14, 15]],
])

/**
 * Where a gateway would take it, had the operator allowed the network of the gateway (RFC 3056, 5214, 6052, 8215). Where it
 * depends on how many bits that has: all that it may be, unless they are told.
 */
function carriedV4(address: Address, bits: number | null): Address[] {
  const bytes = address.toByteArray()
  const at = (places: number[]) => new ipaddr.IPv4(places.map((place) => bytes[place] as number))
  if (contains(SIX_TO_FOUR, address)) return [at([2, 3, 4, 5])]
  if (contains(LOCAL_NAT64, address)) {
    const places = NAT64_PLACES.get(bits ?? 0)
    return (places === undefined ? [...NAT64_PLACES.values()] : [places]).map(at)
  }
  if (contains(NEITHER, address)) return []
  const last = [COMPATIBLE, TRANSLATED, NAT64].some((network) => contains(network, address)) || isIsatap(address)
  return last ? [at([12, 13, 14, 15])] : []
}

function isNamed(address: Address, allow: Networks): boolean {
  return allow.some(([network, bits]) => bits === sizeOf(network) && isSame(network, address))
}

function sizeOf(address: Address): 32 | 128 {
  return address.kind() === 'ipv4' ? 32 : 128
}

function contains([network, bits]: Network, address: Address): boolean {
  return network.kind() === address.kind() && address.match(network, bits)
}

function isSame(one: Address, other: Address): boolean {
  return contains([one, sizeOf(one)], other)
}

function parseNetwork(entry: string): Network | null {
  const [text, prefix, ...rest] = entry.split('/')
  if (text === undefined || rest.length > 0 || isIP(text) === 0 || text.includes('%')) return null
  const address = ipaddr.parse(text)
  const size = sizeOf(address)
  const bits = prefix === undefined ? size : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN
  if (!(bits <= size)) return null
  // Addresses are unwrapped before they are judged, so a mapped network must be unwrapped as well, or it matches nothing.
  if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && bits >= 96) {
    return [address.toIPv4Address(), bits - 96]
  }
  return [address, bits]
}

function ambiguity(entry: string, [address, bits]: Network): string[] {
  const first = firstOf(address, bits)
  if (isSame(first, address)) return []
  const network = `${first}/${bits}`
  return [`${JSON.stringify(entry)} names an address and a network at once: write ${network} or ${address}`]
}

function firstOf(address: Address, bits: number): Address {
  const bytes = address
    .toByteArray()
    .map((byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - index * 8))))
  return bytes.length === 4 ? new ipaddr.IPv4(bytes) : new ipaddr.IPv6(bytes)
}

function parseAddress(text: string): Address | null {
  // node:net first: ipaddr.js also reads `127.1`, `0x7f.1` and `2130706433`, which are no answers of a resolver. A zone
  // (`fe80::1%eth0`) names a wire of this machine, which is nobody else's to choose.
  if (isIP(text) === 0 || text.includes('%')) return null
  const address = ipaddr.parse(text)
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address
}
