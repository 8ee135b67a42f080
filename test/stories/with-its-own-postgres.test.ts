import { chmod, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createEndpoint, launch, publish, temporaryDirectory } from '../support/app.ts'
import { eventually } from '../support/eventually.ts'
import { startReceiver } from '../support/receiver.ts'

const environment = { POSTRIDER_ALLOW_NETWORKS: '127.0.0.0/8', POSTRIDER_ADMIN_KEY: '' }

test('the first start prints a key once; whichever of the two is killed, they go on together', async () => {
  const POSTRIDER_DATA_DIR = await temporaryDirectory()
  // Run by root, the server's user must be able to reach it; then the cluster lies here too, and goes with it.
  await chmod(POSTRIDER_DATA_DIR, 0o755)
  onTestFinished(() => stopPostgres(POSTRIDER_DATA_DIR))
  const receiver = await startReceiver()
  receiver.answers({ hang: true })

  const startedAt = performance.now()
  const first = await launch({ ...environment, POSTRIDER_DATA_DIR })
  const firstStartMs = performance.now() - startedAt
  const key = /prk_[A-Za-z0-9]+/.exec(first.output())?.[0] ?? ''
  expect(key).not.toBe('')
  await createEndpoint(first.api(key), { url: receiver.url })
  const before = await publish(first.api(key), { type: 'invoice.paid', payload: {} })
  await receiver.waitForRequests(1)
  await first.kill()

  receiver.answers(200)
  const second = await launch({ ...environment, POSTRIDER_DATA_DIR, POSTRIDER_LOG_LEVEL: 'info' })
  expect(second.output()).not.toContain('prk_')
  await eventually(() => expect(second.output()).toMatch(/Found the embedded Postgres running/))
  const [, again] = await receiver.waitForRequests(2)
  expect(again?.headers['webhook-id']).toBe(before)
  const { viewer } = await second.api(key).ask<{ viewer: object }>('{ viewer { __typename } }')
  expect(viewer).toBeTruthy()

  const third = await launch({ ...environment, POSTRIDER_DATA_DIR }).catch((error: Error) => error.message)
  expect(third).toMatch(/ended with 1/)
  expect(third).toMatch(/Another Postrider is running on/)

  process.kill(await postmasterIn(POSTRIDER_DATA_DIR), 'SIGKILL')
  // What was acknowledged without our hearing of it is not published twice.
  const event = { type: 'invoice.paid', payload: {}, idempotencyKey: 'after it was killed' }
  const next = await eventually(() => publish(second.api(key), event), 15_000)
  const [, , another] = await receiver.waitForRequests(3)
  expect(another?.headers['webhook-id']).toBe(next)
  await eventually(() => expect(second.output()).toMatch(/The embedded Postgres has ended/))

  expect(await second.stop()).toBe(0)
  await expect(postmasterIn(POSTRIDER_DATA_DIR)).rejects.toThrow('ENOENT')
  // Initialising a cluster included. Alone on a machine it takes a quarter of it; the mark is 5 s until the first delivery.
  expect(firstStartMs).toBeLessThan(20_000)
}, 120_000)

/** For a test that fails half-way: the server outlives the process that started it, as it should. */
async function stopPostgres(dataDir: string): Promise<void> {
  const pid = await postmasterIn(dataDir).catch(() => null)
  if (pid !== null) process.kill(pid, 'SIGQUIT')
}

async function postmasterIn(dataDir: string): Promise<number> {
  return Number.parseInt(await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8'), 10)
}
