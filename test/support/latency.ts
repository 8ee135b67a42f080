import type { Engine } from './engine.ts'
import type { Receiver } from './receiver.ts'

/** From the call of publish until `receipts` requests are in, in ms, for so many events that come one after the other. */
export async function latencies(engine: Engine, receiver: Receiver, events: number, receipts = 1): Promise<number[]> {
  const took: number[] = []
  for (let i = 0; i < events; i++) {
    const received = receiver.requests.length
    const startedAt = performance.now()
    await engine.publish(1, 'order.placed')
    await receiver.waitForRequests(received + receipts)
    took.push(performance.now() - startedAt)
  }
  return took
}

export const percentile95 = (values: number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.95)] as number
