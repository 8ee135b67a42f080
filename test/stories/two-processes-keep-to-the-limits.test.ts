import { expect, onTestFinished, test } from 'vitest'
import { type AttemptId, timeOf } from '../../schema/ids.ts'
import { createEndpoint, databaseUrl, launch, publish, temporaryDirectory } from '../support/app.ts'
import { createDatabase, openDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { startReceiver } from '../support/receiver.ts'

const KEY = 'prk_an_admin_key_for_the_tests_only'

test('20 a second and 3 at a time are never more, with two processes on one Postgres', async () => {
  const address = await createDatabase()
  const environment = {
    DATABASE_URL: databaseUrl(address),
    POSTRIDER_DATA_DIR: await temporaryDirectory(),
    POSTRIDER_MASTER_KEYS: Buffer.alloc(32, 9).toString('base64'),
    POSTRIDER_ADMIN_KEY: KEY,
    POSTRIDER_ALLOW_NETWORKS: '127.0.0.0/8',
  }
  const apis = [(await launch(environment)).api(KEY), (await launch(environment)).api(KEY)]
  const receiver = await startReceiver()
  onTestFinished(() => receiver.close())
  const times: number[] = []
  let [inFlight, mostInFlight] = [0, 0]
  receiver.answers(async () => {
    times.push(performance.now())
    mostInFlight = Math.max(mostInFlight, ++inFlight)
    await new Promise((resolve) => setTimeout(resolve, 20))
    inFlight--
    return 204
  })
  await createEndpoint(apis[0] as never, { url: receiver.url, maxInFlight: 3, ratePerSecond: 20 })
  await Promise.all(
    Array.from({ length: 50 }, (_, n) => publish(apis[n % 2] as never, { type: 'invoice.paid', payload: { n } })),
  )
  await receiver.waitForRequests(50, 20_000)
  const db = await openDatabase(address)
  const sentAt = await eventually(async () => {
    const rows = await db.sql<{ id: AttemptId }[]>`select id from postrider.attempts order by id`
    expect(rows).toHaveLength(50)
    return rows.map(({ id }) => timeOf(id))
  })
  expect(mostInASecond(sentAt)).toBeLessThanOrEqual(20)
  // In this process, a moment in which it stands still brings several at once.
  expect(mostInASecond(times)).toBeLessThanOrEqual(20 + 3)
  expect(mostInFlight).toBeLessThanOrEqual(3)
})

function mostInASecond(times: readonly number[]): number {
  return Math.max(...times.map((from, index) => times.filter((at, later) => later >= index && at < from + 1000).length))
}
