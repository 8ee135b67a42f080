import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Somebody who does nothing wrong while others do. */
export type Bystander = {
  /** Ends it; what it noticed. */
  stop(): Promise<{ asked: number; failed: number; medianMs: number; slowestMs: number }>
}

/** Asks a small question again and again, over connections of its own. */
export function startBystander(url: string, key: string): Bystander {
  let stopped = false
  let asked = 0
  let failed = 0
  const waits: number[] = []
  const ask = async () => {
    const began = performance.now()
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
      body: JSON.stringify({ query: '{ viewer { name } endpoints { nodes { id } } }' }),
    })
    const answer = (await response.json()) as { data?: { viewer: { name: string } }; errors?: unknown }
    waits.push(Math.round(performance.now() - began))
    if (answer.data?.viewer.name !== 'test' || answer.errors) failed++
  }
  const asking = (async () => {
    while (!stopped) {
      asked++
      await ask().catch(() => failed++)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })()
  return {
    async stop() {
      stopped = true
      await asking
      waits.sort((one, other) => one - other)
      return { asked, failed, medianMs: waits[waits.length >> 1] ?? 0, slowestMs: waits.at(-1) ?? 0 }
    },
  }
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** What is really held, in bytes: on the heap and in buffers. */
export function heldBytes(): number {
  collectGarbage()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
