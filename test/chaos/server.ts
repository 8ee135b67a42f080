import { openSync, writeSync } from 'node:fs'
import { PgBoss } from 'pg-boss'
import { createApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { createLog } from '../../src/log.ts'
import type { Claim } from './history.ts'
import { CLAIM_SECONDS, SUPERVISE_SECONDS } from './scenario.ts'

/**
 * A process of Postrider, as src/main.ts starts it, but with short claims, and with a journal of the `deliver` tickets it
 * takes. It lives as long as the one who started it.
 */
const [name, file] = process.argv.slice(2) as [string, string]
keepJournal(openSync(file, 'a'))

const config = readConfig()
const app = createApp(config, createLog(config.logLevel), {
  claimSeconds: CLAIM_SECONDS,
  superviseSeconds: SUPERVISE_SECONDS,
})
process.on('SIGTERM', () => app.stop().then(() => process.exit(0)))
process.on('disconnect', () => process.exit(1))

const { url } = await app.start()
process.send?.({ url })

/** At the border to the queue, so that the program's own text runs as it is. */
function keepJournal(journal: number): void {
  const { fetch } = PgBoss.prototype
  PgBoss.prototype.fetch = async function (this: PgBoss, queue: string, options?: object) {
    const asked = Date.now()
    const jobs = (await fetch.call(this, queue, options as never)) as {
      id: string
      retryCount: number
      data: { delivery: string }
    }[]
    if (queue === 'deliver' && jobs.length > 0) {
      const at = Date.now()
      const claims = jobs.map(
        ({ id, retryCount, data }): Claim => ({
          process: name,
          ticket: id,
          retryCount,
          delivery: data.delivery,
          asked,
          at,
        }),
      )
      writeSync(journal, claims.map((claim) => `${JSON.stringify(claim)}\n`).join(''))
    }
    return jobs
  } as typeof fetch
}
