import { sql } from 'drizzle-orm'
import { expect, test } from 'vitest'
import type { Db } from '../../src/postgres/client.ts'
import { queueDatabase } from '../../src/postgres/queue-adapter.ts'
import { isUnavailable } from '../../src/postgres/unavailable.ts'
import { startApi } from '../graphql/api.ts'
import { openDatabase } from '../support/database.ts'

/** Takes every connection of a pool, as transactions do that wait for something; resolves when all are taken. */
async function takeAll({ transaction }: Db, connections: number) {
  const end = Promise.withResolvers<void>()
  const taken: Promise<void>[] = []
  const held = Array.from({ length: connections }, () => {
    const begun = Promise.withResolvers<void>()
    taken.push(begun.promise)
    return transaction(async (tx) => {
      await tx`select 1`
      begun.resolve()
      await end.promise
    })
  })
  await Promise.all(taken)
  return async () => {
    end.resolve()
    await Promise.all(held)
  }
}

test('what gets no connection in time is refused, whatever it is, and nothing is lost to the pool', async () => {
  const db = await openDatabase(undefined, { max: 2, acquireTimeoutMs: 300 })
  const giveBack = await takeAll(db, 2)

  const askedAt = performance.now()
  const outcomes = await Promise.allSettled([
    db.sql`select 1`,
    db.orm.execute(sql`select 1`),
    db.transaction((tx) => tx`select 1`),
    queueDatabase(db.sql).executeSql('BEGIN; SELECT 1; COMMIT;'),
  ])
  const tookMs = performance.now() - askedAt

  expect(outcomes.map((outcome) => outcome.status === 'rejected' && isUnavailable(outcome.reason))).toEqual(
    outcomes.map(() => true),
  )
  expect(tookMs).toBeGreaterThan(250)
  expect(tookMs).toBeLessThan(5000)
  const patient = db.sql<[{ n: number }]>`select 2 as n`.execute()
  await giveBack()
  expect(await patient).toEqual([{ n: 2 }])
  await Promise.all([1, 2, 3, 4].map(() => db.transaction((tx) => tx`select 1`)))
})

test('with every connection of the API held, a request is told to try again, and later it is answered', async () => {
  const { db, send } = await startApi({ pool: { max: 3, acquireTimeoutMs: 300 } })
  const giveBack = await takeAll(db, 3)

  const { status, errors } = await send(
    'mutation { eventPublish(input: { type: "a.b", payload: 1 }) { event { id } } }',
  )

  expect(status).toBe(503)
  expect(errors).toMatchObject([{ extensions: { code: 'UNAVAILABLE' } }])
  await giveBack()
  expect(await send('{ viewer { __typename } }')).toMatchObject({ status: 200, data: { viewer: {} } })
})
