import { chmod } from 'node:fs/promises'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { startEmbeddedPostgres } from '../../src/postgres/embedded.ts'
import { createEndpoint, databaseUrl, launch, publish, temporaryDirectory } from '../support/app.ts'
import { eventually } from '../support/eventually.ts'
import { startReceiver } from '../support/receiver.ts'

const KEY = 'prk_an_admin_key_for_the_tests_only'
const PUBLISH = '{"query":"mutation { eventPublish(input: { type: \\"a.b\\", payload: {} }) { event { id } } }"}'

test('while Postgres is away the API says so; when it is back everything goes on by itself', async () => {
  const dataDir = await temporaryDirectory()
  await chmod(dataDir, 0o755)
  const binDir = process.env.POSTRIDER_TEST_POSTGRES_BIN
  const start = () => startEmbeddedPostgres({ dataDir, log: silentLog, ...(binDir ? { binDir } : {}) })
  let postgres = await start()
  onTestFinished(() => postgres.stop())
  const receiver = await startReceiver()
  const server = await launch({
    DATABASE_URL: databaseUrl(postgres.address),
    POSTRIDER_DATA_DIR: await temporaryDirectory(),
    POSTRIDER_MASTER_KEYS: Buffer.alloc(32, 9).toString('base64'),
    POSTRIDER_ADMIN_KEY: KEY,
    POSTRIDER_ALLOW_NETWORKS: '127.0.0.0/8',
  })
  const api = server.api(KEY)
  await createEndpoint(api, { url: receiver.url })
  await publish(api, { type: 'order.placed', payload: {} })
  await receiver.waitForRequests(1)

  await postgres.stop()
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${KEY}` }
  const response = await fetch(`${api.url}/graphql`, { method: 'POST', headers, body: PUBLISH })
  expect(response.status).toBe(503)
  expect(await response.json()).toMatchObject({ errors: [{ extensions: { code: 'UNAVAILABLE' } }] })
  expect((await fetch(`${api.url}/ready`)).status).toBe(503)
  expect((await fetch(`${api.url}/health`)).status).toBe(200)

  postgres = await start()
  await eventually(() => publish(api, { type: 'order.placed', payload: {} }))
  // Not just the one that was published through a fresh session: the engine's sessions are back as well.
  await receiver.waitForRequests(2, 5000)
  expect(await server.stop()).toBe(0)
})
