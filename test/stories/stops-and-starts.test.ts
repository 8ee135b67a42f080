import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { type Address, openClient } from '../../src/postgres/client.ts'
import { LOCKS } from '../../src/postgres/locks.ts'
import { announcePresence } from '../../src/postgres/presence.ts'
import { createEndpoint, launch, publish, settingsFor } from '../support/app.ts'
import { createDatabase, openDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { waitingForLocks } from '../support/locks.ts'
import { startReceiver } from '../support/receiver.ts'

/** As if another process were there, so that whoever starts does not take all claims for those of the dead. */
async function standBy(address: Address): Promise<void> {
  const sql = await openClient(address, { max: 1, name: 'stand-by', log: silentLog })
  const { end } = await announcePresence(sql)
  onTestFinished(async () => {
    end()
    await sql.end()
  })
}

/** Keeps whatever inserts events waiting. */
async function holdPublishes(address: Exclude<Address, string>) {
  const db = await openDatabase(address, { max: 2 })
  const [held, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const holding = db.transaction(async (tx) => {
    await tx`lock table postrider.events in share mode`
    held.resolve()
    await end.promise
  })
  await held.promise
  return {
    /** Resolves when somebody waits. */
    waited: () => eventually(async () => expect(await waitingForLocks(db)).toBeGreaterThan(0)),
    async release() {
      end.resolve()
      await holding
    },
  }
}

test('stopped: what is under way is answered and settled, and what hangs is taken by the next process at once', async () => {
  const address = await createDatabase()
  await standBy(address)
  const settings = await settingsFor(address)
  const server = await launch({ ...settings, POSTRIDER_SHUTDOWN_SECONDS: '2', POSTRIDER_LOG_LEVEL: 'info' })
  const api = server.api()
  const [slow, hanging] = [await startReceiver(), await startReceiver()]
  slow.answers({ delayMs: 500 })
  hanging.answers({ hang: true })
  await createEndpoint(api, { url: slow.url, eventTypes: ['slow'] })
  await createEndpoint(api, { url: hanging.url, eventTypes: ['hanging'], timeoutSeconds: 30 })
  for (const type of ['slow', 'hanging']) await Promise.all([1, 2, 3].map(() => publish(api, { type, payload: 1 })))
  await Promise.all([slow.waitForRequests(3), hanging.waitForRequests(3)])
  const hold = await holdPublishes(address)
  const underWay = publish(api, { type: 'hanging', payload: 2 })
  await hold.waited()

  const stoppedAt = performance.now()
  const exit = server.stop()
  await eventually(() => expect(fetch(`${api.url}/health`)).rejects.toThrow())
  await hold.release()

  expect(await underWay).toMatch(/^evt_/)
  expect(await exit).toBe(0)
  expect(performance.now() - stoppedAt).toBeLessThan(5000)
  const last = server.output().trim().split('\n').at(-1) as string
  expect(JSON.parse(last)).toMatchObject({ role: 'all', finished: 3, givenBack: 3, msg: 'Stopped' })
  const db = await openDatabase(address)
  const attempts = await db.sql`select event_type, succeeded, error_class from postrider.attempts`
  expect(attempts).toEqual([1, 2, 3].map(() => ({ event_type: 'slow', succeeded: true, error_class: null })))
  expect(await db.sql`select id from postrider_queue.job where state = 'active'`).toEqual([])

  hanging.answers(200)
  const next = await launch({ ...settings, POSTRIDER_SHUTDOWN_SECONDS: '30' })
  // Claims that nobody gave back lapse after 60 s.
  await hanging.waitForRequests(3 + 4, 8000)
  expect(slow.requests).toHaveLength(3)

  hanging.answers({ hang: true })
  await publish(next.api(), { type: 'hanging', payload: 3 })
  await hanging.waitForRequests(3 + 4 + 1)
  const ended = next.stop()
  // Told twice in one second is told once.
  const again = setInterval(() => void next.stop(), 300)
  onTestFinished(() => clearInterval(again))
  expect(await ended).toBe(1)
}, 40_000)

test('stopped while it waits for another one to migrate: it goes, and calls that no fault', async () => {
  const address = await createDatabase()
  const db = await openDatabase(address)
  const end = Promise.withResolvers<void>()
  const held = Promise.withResolvers<void>()
  const migrating = db.transaction(async (tx) => {
    await tx`select pg_advisory_xact_lock(${LOCKS.migration}::bigint)`
    held.resolve()
    await end.promise
  })
  await held.promise
  let child: { kill(signal: 'SIGTERM'): boolean } | undefined
  const launched = launch(await settingsFor(address), (spawned) => {
    child = spawned
  }).catch((error: Error) => error.message)
  await eventually(async () => expect(await waitingForLocks(db, 'advisory')).toBe(1), 15_000)

  child?.kill('SIGTERM')

  expect(await launched).toBe('the server ended with 0:\n')
  end.resolve()
  await migrating
})
