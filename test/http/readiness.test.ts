import { expect, onTestFinished, test, vi } from 'vitest'
import { startHealthServer } from '../../src/http/health.ts'
import { silentLog } from '../../src/log.ts'

async function world() {
  const log = { ...silentLog, warn: vi.fn() }
  let fault: Error | null = null
  const ready = async () => {
    if (fault) throw fault
  }
  const server = await startHealthServer({ config: { host: '127.0.0.1', port: 0 }, log, ready })
  const url = server.url()
  onTestFinished(async () => {
    const closing = server.close()
    // Whoever asks regularly is told before it ends.
    await fetch(`${url}/ready`).catch(() => {})
    await closing
  })
  const get = async (path: string) => {
    const response = await fetch(`${url}${path}`)
    return [response.status, ((await response.json()) as { status?: string }).status]
  }
  return {
    server,
    get,
    told: () => log.warn.mock.calls.map(([, sentence]) => sentence),
    fail: (error: Error | null) => (fault = error),
  }
}

test('a worker alone answers /health and /ready, and nothing else', async () => {
  const { server, get } = await world()
  expect(await get('/health')).toEqual([200, 'up'])
  expect(await get('/ready')).toEqual([200, 'ready'])
  expect(await get('/graphql')).toEqual([404, undefined])
  expect(await get('/ready')).toEqual([200, 'ready'])
  // Asked so often, it is asked once more before it ends.
  const closing = server.close()
  expect(await get('/ready')).toEqual([503, 'stopping'])
  await closing
  await expect(get('/health')).rejects.toThrow()
})

test('who asks whether it is ready notices an outage, and its end', async () => {
  const { get, told, fail } = await world()
  fail(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }))
  for (let n = 0; n < 3; n++) expect(await get('/ready')).toEqual([503, 'unavailable'])
  expect(await get('/health')).toEqual([200, 'up'])
  expect(told()).toEqual(['The database does not answer'])
  fail(null)
  expect(await get('/ready')).toEqual([200, 'ready'])
  expect(told()).toEqual(['The database does not answer', 'The database answers again'])
})
