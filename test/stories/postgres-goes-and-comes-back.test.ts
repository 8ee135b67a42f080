import { chmod } from 'node:fs/promises'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { startEmbeddedPostgres } from '../../src/postgres/embedded.ts'
import { createEndpoint, launch, publish, settingsFor, temporaryDirectory } from '../support/app.ts'
import { eventually } from '../support/eventually.ts'
import { startPublishers } from '../support/publishers.ts'
import { startReceiver } from '../support/receiver.ts'

const PUBLISH = '{"query":"mutation { eventPublish(input: { type: \\"a.b\\", payload: {} }) { event { id } } }"}'

test('while Postgres is away the API says so; when it is back everything goes on by itself, and nothing is lost', async () => {
  const dataDir = await temporaryDirectory()
  await chmod(dataDir, 0o755)
  const binDir = process.env.POSTRIDER_TEST_POSTGRES_BIN
  const start = () => startEmbeddedPostgres({ dataDir, log: silentLog, ...(binDir ? { binDir } : {}) })
  let postgres = await start()
  onTestFinished(() => postgres.stop())
  const receiver = await startReceiver()
  const server = await launch(await settingsFor(postgres.address))
  const api = server.api()
  await createEndpoint(api, { url: receiver.url })
  const first = await publish(api, { type: 'order.placed', payload: {} })
  await receiver.waitForRequests(1)

  await postgres.stop()
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${api.key}` }
  const response = await fetch(`${api.url}/graphql`, { method: 'POST', headers, body: PUBLISH })
  expect(response.status).toBe(503)
  expect(await response.json()).toMatchObject({ errors: [{ extensions: { code: 'UNAVAILABLE' } }] })
  expect((await fetch(`${api.url}/ready`)).status).toBe(503)
  expect((await fetch(`${api.url}/health`)).status).toBe(200)

  // Only now: tickets that are being claimed when the server goes may lie for as long as claims last, a minute.
  const { acknowledged, refusals, ...publishers } = startPublishers({
    apis: () => [api],
    count: 2,
    pauseMs: 20,
    event: () => ({ type: 'order.placed', payload: {} }),
  })
  await eventually(() => expect(refusals.get('UNAVAILABLE 503')).toBeGreaterThan(5), 10_000)

  postgres = await start()
  await eventually(() => expect(acknowledged.size).toBeGreaterThan(10), 10_000)
  await publishers.stop()
  const ids = new Set([first, ...acknowledged.values()])
  await eventually(() => {
    const arrived = new Set(receiver.requests.map(({ headers }) => headers['webhook-id'] as string))
    expect(arrived).toEqual(ids)
  }, 10_000)
  expect(publishers.unexpected).toEqual([])
  // Once for the whole process, not by each loop and twice a second; and that it works again.
  await eventually(() => expect(server.output()).toContain('The database is available again'))
  const count = (text: string) => server.output().split(text).length - 1
  expect(count('The database is unavailable; trying again')).toBe(1)
  expect(count('The database is available again')).toBe(1)
  // What was under way in the moment it went may be told of by itself, without a stack.
  expect(count('"level":"error"')).toBeLessThan(4)
  expect(server.output()).not.toMatch(/"stack"|object Object/)
  expect(await server.stop()).toBe(0)
}, 120_000)
