import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** The address is not to be had; the message says what to do. */
export class CannotListen extends Error {
  readonly code = 'CANNOT_LISTEN'

  constructor(host: string, port: number, cause: NodeJS.ErrnoException) {
    const reasons: Record<string, string> = {
      EADDRINUSE: `Port ${port} on ${host} is in use. Set PORT to another one, or stop what listens there.`,
      EADDRNOTAVAIL: `${host} is no address of this machine. Set HOST to one that is, e.g. 127.0.0.1 or 0.0.0.0.`,
      EACCES: `This user may not listen on port ${port}. Set PORT to one above 1023.`,
    }
    super(reasons[cause.code ?? ''] ?? `Cannot listen on ${host}, port ${port}: ${cause.message}`, { cause })
    this.name = 'CannotListen'
  }
}

export type HttpServer = {
  /** Resolves when requests are taken; rejects when the port is not to be had. */
  listen(): Promise<void>
  /** Where it listens, like `http://127.0.0.1:4000`. */
  url(): string
  /** The address and port that it listens on, chosen ones too; null before and after. */
  address(): { address: string; port: number } | null
  /** Says at `/ready` that it goes, takes no more requests, ends live subscriptions, lets what is under way be answered. */
  close(): Promise<void>
}

type Place = { host: string; port: number }

/** What a server does besides answering. */
export function listening(server: Server, { host, port }: Place): Omit<HttpServer, 'close'> {
  return {
    listen: () => listen(server, host, port),
    url: () => urlOf(server, host),
    address: () => server.address() as AddressInfo | null,
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) => reject(new CannotListen(host, port, error))
    server.once('error', refuse)
    server.listen(port, host, () => {
      server.off('error', refuse)
      resolve()
    })
  })
}

function urlOf(server: Server, host: string): string {
  const { port } = server.address() as AddressInfo
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}
