import { isIP, connect as netConnect, type Socket } from 'node:net'
import { sameAddress } from './address-rules.ts'
import { established } from './established.ts'
import { adviceFor, EgressError } from './failures.ts'

/** The last step to the network, replaceable: tests note the address here and dial loopback. */
export type Dial = (options: { address: string; family: 4 | 6; port: number }) => Socket

/** A family and an address and nothing to look up: Node's own `lookup` and address racing stay out of it. */
export const dialDirectly: Dial = ({ address, family, port }) =>
  netConnect({ host: address, family, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 })

/** A socket that is not where it was dialled to. */
export class ArrivedElsewhere extends Error {
  readonly code = 'ARRIVED_ELSEWHERE'
  readonly remoteAddress: string

  constructor(remoteAddress: string) {
    super('a socket ended up at another address than it was dialled to')
    this.name = 'ArrivedElsewhere'
    this.remoteAddress = remoteAddress
  }
}

/** Dials one address, and makes sure that it is where the socket ended up: the last of the gates. */
export async function dialOne(
  dial: Dial,
  { address, port }: { address: string; port: number },
  signal: AbortSignal,
  timeoutMs: number,
): Promise<Socket> {
  const socket = dial({ address, family: isIP(address) === 6 ? 6 : 4, port })
  await established(socket, 'connect', signal, timeoutMs)
  const { remoteAddress } = socket
  if (remoteAddress !== undefined && sameAddress(remoteAddress, address)) return socket
  socket.destroy()
  // A socket already closed again tells no address: that is a reset, not a pass.
  if (remoteAddress === undefined) throw new EgressError('RESET', adviceFor('RESET'))
  throw new ArrivedElsewhere(remoteAddress)
}
