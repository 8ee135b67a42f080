import type { Started } from './app.ts'
import { type Config, readConfig } from './config.ts'
import { parseNetworks } from './egress/address-rules.ts'
import { parseProxy } from './egress/proxy-url.ts'
import { parseHosts } from './egress/url-rules.ts'
import { createLog } from './log.ts'
import { parseMasterKeys } from './sealing/master-keys.ts'

const SAME_SIGNAL_MS = 1000

/** The process: configuration in, a running app, and a clean end. */
async function main(): Promise<void> {
  const config = readConfig(undefined, {
    POSTRIDER_ALLOW_NETWORKS: parseNetworks,
    POSTRIDER_ALLOW_HOSTS: parseHosts,
    POSTRIDER_EGRESS_PROXY: parseProxy,
    POSTRIDER_MASTER_KEYS: parseMasterKeys,
  })
  const log = createLog(config.logLevel, { role: config.role })
  // Only now: what it is made of takes a second to load, and nobody waits for that to be told of a fault above.
  const { createApp } = await import('./app.ts')
  const app = createApp(config, log)

  let stoppingSince: number | null = null
  const stop = (signal: NodeJS.Signals) => {
    // Ctrl-C under npm comes twice: from the terminal, and passed on by npm.
    if (stoppingSince !== null && performance.now() - stoppingSince < SAME_SIGNAL_MS) return
    // A second one that is meant: at once. Claims lapse, and what was in flight is sent again.
    if (stoppingSince !== null) process.exit(1)
    stoppingSince = performance.now()
    log.info({ signal }, 'Stopping: finishing what is in flight')
    app.stop().then((stopped) => {
      log.info(stopped, 'Stopped')
      process.exit(0)
    })
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)

  const started = await app.start().catch((error: unknown) => {
    // Stopped in the middle of its start, whatever that ran into is no fault.
    if (stoppingSince === null) throw error
    return null
  })
  if (started !== null && stoppingSince === null) welcome(config, started)
}

function welcome(config: Config, { url, firstKey }: Started): void {
  const lines = [
    config.role === 'worker'
      ? `Postrider is delivering.${url === null ? '' : `\n\n  Health             ${url}/ready`}`
      : `Postrider is running.\n\n  ${config.graphiql ? 'GraphiQL and API' : 'API             '}   ${url}/graphql`,
    ...(firstKey === null
      ? []
      : [
          `  Admin key          ${firstKey}\n                     Keep it: it is shown only this once. Lost? Start with another in POSTRIDER_ADMIN_KEY.`,
        ]),
  ]
  process.stdout.write(`${lines.join('\n')}\n\n`)
}

main().catch((error: unknown) => {
  // A fault somebody can mend has a code and says what to do; anything else is ours, and its stack is wanted.
  const known = error instanceof Error && 'code' in error && /^[A-Z][A-Z_]+$/.test(String(error.code))
  process.stderr.write(`${known ? error.message : error instanceof Error ? error.stack : String(error)}\n`)
  process.exit(1)
})
