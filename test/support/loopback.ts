import dgram from 'node:dgram'
import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'

/** Somebody wanted to go where no test may go. */
export class Escape extends Error {
  constructor(what: string) {
    super(`No test contacts anything but loopback, not even when it fails: ${what}`)
    this.name = 'Escape'
  }
}

/** Where name servers are asked unless a test has its own: a port of loopback that nobody listens on. */
const NOBODY = '127.0.0.1:1'

/**
 * Keeps this process on loopback, whatever it is told: sockets and system look-ups that would leave throw an `Escape`, of
 * which `onEscape` is told first, because somebody might catch it; name servers are those of a test, or nobody.
 */
export function confine(onEscape: (attempt: Escape) => void): void {
  const refuse = (what: string): never => {
    const attempt = new Escape(what)
    onEscape(attempt)
    throw attempt
  }
  confineSockets(refuse)
  confineDatagrams(refuse)
  confineLookups(refuse)
  confineResolvers(refuse)
  syncBuiltinESMExports()
}

type Refuse = (what: string) => never

function confineSockets(refuse: Refuse): void {
  const { connect } = net.Socket.prototype
  net.Socket.prototype.connect = function (this: net.Socket, ...args: unknown[]) {
    const { path, host } = destinationOf(args)
    // Unix sockets have a path and no host.
    if (path === undefined && !isLoopback(host ?? 'localhost')) refuse(`a socket to ${host}`)
    return Reflect.apply(connect, this, args)
  } as typeof connect
}

/** `connect(options)`, `connect(path)`, `connect(port, host)`, or the array that Node makes of these for itself. */
function destinationOf(args: unknown[]): { path?: string; host?: string } {
  const [first, second] = Array.isArray(args[0]) ? args[0] : args
  if (typeof first === 'object' && first !== null) return first
  if (typeof first === 'string' && !/^\d+$/.test(first)) return { path: first }
  return typeof second === 'string' ? { host: second } : {}
}

function confineDatagrams(refuse: Refuse): void {
  for (const method of ['send', 'connect'] as const) {
    const original = dgram.Socket.prototype[method] as (...args: unknown[]) => unknown
    const confined = function (this: dgram.Socket, ...args: unknown[]) {
      // The address is the one string among ports, lengths and callbacks; `send` may begin with a text to send.
      const address = args.slice(method === 'send' ? 1 : 0).find((arg) => typeof arg === 'string')
      if (address !== undefined && !isLoopback(address)) refuse(`a datagram to ${address}`)
      return Reflect.apply(original, this, args)
    }
    Object.assign(dgram.Socket.prototype, { [method]: confined })
  }
}

/** getaddrinfo asks the machine's own name servers, which are elsewhere. */
function confineLookups(refuse: Refuse): void {
  for (const room of [dns, dns.promises]) {
    const original = room.lookup as (...args: unknown[]) => unknown
    const confined = function (this: unknown, ...args: unknown[]) {
      const name = String(args[0])
      if (net.isIP(name) === 0 && !isLoopback(name)) refuse(`a system look-up of ${name}`)
      return Reflect.apply(original, this, args)
    }
    Object.assign(room, { lookup: confined })
  }
}

type ResolverClass = new (options?: object) => { setServers(servers: readonly string[]): void }

function confineResolvers(refuse: Refuse): void {
  for (const room of [dns, dns.promises]) {
    room.setServers([NOBODY])
    class Confined extends (room.Resolver as unknown as ResolverClass) {
      constructor(options?: object) {
        super(options)
        super.setServers([NOBODY])
      }

      override setServers(servers: readonly string[]) {
        for (const server of servers) {
          if (!isLoopback(server.replace(/^\[(.*)\].*|(^[\d.]+):\d+$/, '$1$2'))) refuse(`a name server at ${server}`)
        }
        super.setServers(servers)
      }
    }
    Object.assign(room, { Resolver: Confined })
  }
}

function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1|::ffff:127(\.\d{1,3}){3})$/i.test(host)
}
