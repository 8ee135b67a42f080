import { onTestFinished } from 'vitest'
import { parseNetworks } from '../../src/egress/address-rules.ts'
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
