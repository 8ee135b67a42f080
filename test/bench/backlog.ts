import { startSystem } from './system.ts'

/**
 * A million deliveries over 100 endpoints that all fall due in the same second, as after an outage, drained by one worker: how
 * fast the first tenth goes and how fast the last, whether each endpoint has its share all the while, and what memory it takes.
 */
const DUE = Number(process.argv[2] ?? 1_000_000)
const ENDPOINTS = 100

const system = await startSystem(new URL('./backlog-receiver.ts', import.meta.url))
try {
  const paths = Array.from({ length: ENDPOINTS }, (_, n) => `/${n}`)
  const endpoints = []
  for (const path of paths) endpoints.push(await system.addEndpoint(system.tenantId, path, 'waiting'))
  await system.addWaiting(system.tenantId, endpoints, DUE, { waitingFor: 'RETRY', at: new Date() })
  const worker = await system.startWorker()
  const rows: Record<string, number | string>[] = []
  let [tenth, before, startedAt, mostMemory] = [1, 0, performance.now(), 0]
  while (tenth <= 10) {
    await new Promise((resolve) => setTimeout(resolve, 200))
    mostMemory = Math.max(mostMemory, process.memoryUsage().rss)
    const { total, least, most } = await system.ask<{ total: number; least: number; most: number }>('report')
    if (total < (DUE * tenth) / 10) continue
    const seconds = (performance.now() - startedAt) / 1000
    rows.push({
      'deliveries/s': Math.round((total - before) / seconds),
      'fewest, most of an endpoint': `${least}, ${most}`,
      'RSS MiB': Math.round(mostMemory / 2 ** 20),
    })
    before = total
    startedAt = performance.now()
    tenth++
  }
  await worker.stop(new Date(Date.now() + 5000))
  console.log(`${DUE} deliveries due at once, ${ENDPOINTS} endpoints, by tenths:`)
  console.table(rows)
  const rate = (row: (typeof rows)[number] | undefined) => Number(row?.['deliveries/s'])
  console.log(`last tenth to first: ${(rate(rows.at(-1)) / rate(rows[0])).toFixed(2)}`)
} finally {
  await system.stop()
}
