import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { openQueue } from '../../src/queue/open.ts'
import { createDatabase, openDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

test('scheduled work of two workers on one database runs once at each of its times', async () => {
  const address = await createDatabase()
  const runs: { worker: number; minute: number }[] = []
  for (const worker of [1, 2]) {
    const queue = await openQueue({ db: await openDatabase(address), log: silentLog, supervise: true })
    onTestFinished(() => queue.close())
    await queue.scheduledWork.every('count', '* * * * *', async () => {
      runs.push({ worker, minute: Math.floor(Date.now() / 60_000) })
    })
  }
  const db = await openDatabase(address)
  // The first may have been asked for in the middle of a minute; the next two are on time.
  await eventually(() => expect(runs.length).toBeGreaterThanOrEqual(3), 250_000)
  const [jobs] = await db.sql`
    select count(*)::int as n, count(distinct date_trunc('minute', created_on))::int as minutes
    from postrider_queue.job where name = 'count' and state <> 'created'`
  console.log({ runs, jobs })
  expect(jobs?.n).toBe(runs.length)
  expect(jobs?.minutes).toBe(runs.length)
})
