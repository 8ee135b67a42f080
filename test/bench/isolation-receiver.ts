import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * A receiver in a process of its own. `/well` answers after a few milliseconds and notes how long the event was under way, from
 * its acceptance to here; `/hang` never answers; `/busy` answers at once and is not measured.
 */
const WELL_MS = 5
let latencies: number[] = []
let others = 0

const server = createServer((request, response) => {
  const arrivedAt = Date.now()
  let body = ''
  request.setEncoding('utf8').on('data', (chunk) => (body += chunk))
  request.on('end', () => {
    if (request.url === '/hang') return
    if (request.url === '/busy') {
      others++
      response.end()
      return
    }
    latencies.push(arrivedAt - Date.parse((JSON.parse(body) as { created_at: string }).created_at))
    setTimeout(() => response.end(), WELL_MS)
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', 4096, () => process.send?.({ port: (server.address() as AddressInfo).port }))
process.on('message', () => {
  const sorted = latencies.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  process.send?.({ count: sorted.length, p50: at(0.5), p99: at(0.99), worst: sorted.at(-1) ?? 0, others })
  latencies = []
})
process.on('disconnect', () => process.exit())
