import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A receiver in a process of its own: answers 200 and counts by path. */
const counts = new Map<string, number>()
const server = createServer((request, response) => {
  request.resume()
  request.on('end', () => {
    counts.set(request.url ?? '', (counts.get(request.url ?? '') ?? 0) + 1)
    response.end()
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', 4096, () => process.send?.({ port: (server.address() as AddressInfo).port }))
process.on('message', () => {
  const each = [...counts.values()]
  process.send?.({
    total: each.reduce((sum, count) => sum + count, 0),
    least: Math.min(...each),
    most: Math.max(...each),
  })
})
process.on('disconnect', () => process.exit())
