import { silentLog } from '../../src/log.ts'
import { startEmbeddedPostgres } from '../../src/postgres/embedded.ts'

// A process that starts the embedded server, tells its parent how it went, and waits to be killed.
const [dataDir = ''] = process.argv.slice(2)
try {
  const { address, adopted } = await startEmbeddedPostgres({ dataDir, log: silentLog, shelter: `${dataDir}-shelter` })
  process.send?.({ address, adopted })
} catch (error) {
  const { code, message } = error as Error & { code?: string }
  process.send?.({ code, message })
}
setInterval(() => {}, 60_000)
