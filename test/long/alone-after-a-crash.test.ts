import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { openClient } from '../../src/postgres/client.ts'
import { startEmbeddedPostgres } from '../../src/postgres/embedded.ts'
import { announcePresence } from '../../src/postgres/presence.ts'
import { eventually } from '../support/eventually.ts'

test('after the crash of one backend, which ends all sessions, nobody is sure to be alone', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'postrider-test-'))
  const server = await startEmbeddedPostgres({ dataDir, log: silentLog })
  onTestFinished(async () => {
    await server.stop()
    await rm(dataDir, { recursive: true, force: true })
  })
  const announce = async () => {
    const sql = await openClient(server.address, { max: 1, name: 'presence', log: silentLog })
    const { alone, end } = await announcePresence(sql, { settledMs: 3000 })
    end()
    const [{ pid }] = await sql<[{ pid: number }]>`select pg_backend_pid() as pid`
    return { alone, pid, leave: () => sql.end({ timeout: 1 }).catch(() => {}) }
  }
  const first = await eventually(async () => {
    const one = await announce()
    if (!one.alone) await one.leave()
    expect(one.alone).toBe(true)
    return one
  }, 10_000)
  process.kill(first.pid, 'SIGKILL')
  await first.leave()
  await eventually(async () => {
    const second = await announce()
    await second.leave()
    expect(second.alone).toBe(false)
  }, 10_000)
})
