import { connect } from 'node:net'
import { onTestFinished } from 'vitest'
import { parseNetworks } from '../../src/egress/address-rules.ts'
import type { Dial } from '../../src/egress/connector.ts'
import { createEgress, type EgressOptions, type EgressRequest } from '../../src/egress/request.ts'
import { onRawRequest, type RawReceiver, startRawReceiver, startReceiver } from '../support/receiver.ts'

/** An egress into loopback with a short way to post, closed with the test. */
export function egressOf(options: Partial<EgressOptions> = {}) {
  const egress = createEgress({ allowNetworks: parseNetworks('127.0.0.0/8'), ...options })
  onTestFinished(() => egress.close())
  return {
    ...egress,
    post: (url: string, more: Partial<EgressRequest> = {}) =>
      egress.send({
        url,
        method: 'POST',
        headers: [['content-type', 'application/json']],
        body: Buffer.from('{"a":1}'),
        deadlineMs: 2000,
        ...more,
      }),
  }
}

/**
 * The last step to the network, replaced: notes every address that it is told to dial, and dials this port of loopback. The
 * socket says that it arrived where it was told to go, or where `arrivesAt` says.
 */
export function recorderTo(port: number, { arrivesAt = (address: string) => address } = {}) {
  const dialled: string[] = []
  const dial: Dial = ({ address }) => {
    dialled.push(address)
    const socket = connect({ host: '127.0.0.1', port })
    return Object.defineProperty(socket, 'remoteAddress', { value: arrivesAt(address) })
  }
  return { dial, dialled }
}

export async function receiverOf() {
  const receiver = await startReceiver()
  onTestFinished(() => receiver.close())
  return receiver
}

export async function rawReceiverOf(...args: Parameters<typeof startRawReceiver>): Promise<RawReceiver> {
  const receiver = await startRawReceiver(...args)
  onTestFinished(() => receiver.close())
  return receiver
}

/** Answers every request on every connection with these bytes. */
export const saying = (answer: string | Buffer) =>
  rawReceiverOf((socket) => onRawRequest(socket, () => socket.write(answer)))
