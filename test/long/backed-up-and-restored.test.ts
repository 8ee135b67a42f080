import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { promisify } from 'node:util'
import { Webhook } from 'standardwebhooks'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { openPool } from '../../src/postgres/client.ts'
import { startEmbeddedPostgres } from '../../src/postgres/embedded.ts'
import {
  type Api,
  createEndpoint,
  databaseUrl,
  launch,
  publish,
  settingsFor,
  temporaryDirectory,
} from '../support/app.ts'
import { eventually } from '../support/eventually.ts'
import { startReceiver } from '../support/receiver.ts'

// Debian's: the package that brings the embedded server has no pg_dump, and one may not be older than its server.
const PROGRAMS = '/usr/lib/postgresql/15/bin'
const DOCUMENT = readFileSync(new URL('../../docs/backup.md', import.meta.url), 'utf8')
const [BACKUP, RESTORE] = [...DOCUMENT.matchAll(/```sh\n(.*?)```/gs)].map(([, commands]) => String(commands))

const FEED = `subscription ($after: String) {
  deliveryAttempts(after: $after) { __typename cursor ... on FeedGap { reason } }
}`
type Item = { deliveryAttempts: { __typename: string; reason?: string } }

async function startServer15() {
  const dataDir = await temporaryDirectory()
  await chmod(dataDir, 0o755)
  const server = await startEmbeddedPostgres({ dataDir, log: silentLog, binDir: PROGRAMS })
  onTestFinished(() => server.stop())
  const admin = await openPool(server.admin, { max: 1, name: 'test', log: silentLog })
  await admin.sql.unsafe(`alter role ${server.address.user} createdb`)
  await admin.close()
  return server
}

async function feedCursor(api: Api): Promise<string> {
  return (await api.ask<{ feedCursor: string }>('{ feedCursor }')).feedCursor
}

async function deliverSome(api: Api, count: number) {
  const delivered = async () =>
    (
      await api.ask<{ deliveries: { nodes: unknown[] } }>(
        '{ deliveries(filter: { states: [DELIVERED] }, first: 100) { nodes { id } } }',
      )
    ).deliveries.nodes.length
  const before = await delivered()
  await Promise.all(Array.from({ length: count }, (_, n) => publish(api, { type: 'good', payload: { n } })))
  await eventually(async () => expect(await delivered()).toBeGreaterThanOrEqual(before + count), 20_000)
}

test.runIf(existsSync(`${PROGRAMS}/pg_dump`))(
  'backed up and restored as docs/backup.md has it, it goes on where it was',
  async () => {
    const server = await startServer15()
    const settings = await settingsFor(server.address)
    const RESTORED_URL = databaseUrl({ ...server.address, database: 'postrider_restored' })
    const cwd = await temporaryDirectory()
    const env = { PATH: `${PROGRAMS}:${process.env.PATH}`, DATABASE_URL: settings.DATABASE_URL, RESTORED_URL }
    const run = (commands = '') => promisify(execFile)('bash', ['-euc', commands], { cwd, env })
    const first = await launch(settings)
    const [good, hanging] = [await startReceiver(), await startReceiver()]
    hanging.answers({ hang: true })
    await createEndpoint(first.api(), { url: good.url, eventTypes: ['good'] })
    const { secret } = await createEndpoint(first.api(), {
      url: hanging.url,
      eventTypes: ['hanging'],
      timeoutSeconds: 30,
    })
    await deliverSome(first.api(), 3)
    const inFlight = await Promise.all([1, 2].map((n) => publish(first.api(), { type: 'hanging', payload: { n } })))
    await hanging.waitForRequests(2)
    const cursors = [await feedCursor(first.api())]

    await run(BACKUP)
    await deliverSome(first.api(), 3)
    cursors.push(await feedCursor(first.api()))
    await first.kill()
    await run(RESTORE)

    const restored = { ...settings, DATABASE_URL: RESTORED_URL }
    const otherKeys = { ...restored, POSTRIDER_MASTER_KEYS: Buffer.alloc(32, 1).toString('base64') }
    await expect(launch(otherKeys)).rejects.toThrow(/ended with 1:\n.*sealed with another master key/)
    hanging.answers(200)
    const second = await launch(restored)
    const requests = await hanging.waitForRequests(4, 10_000)
    const again = requests.slice(2)
    expect(again.map(({ headers }) => headers['webhook-id']).sort()).toEqual([...inFlight].sort())
    for (const { body, headers } of again) new Webhook(secret).verify(body.toString(), headers)
    // So many that the position of either cursor has been given again, to another attempt.
    await deliverSome(second.api(), 5)
    for (const after of cursors) {
      const { items } = second.api().follow<Item>(FEED, { after })
      const [first] = await eventually(() => {
        expect(items).not.toEqual([])
        return items
      })
      expect(first?.deliveryAttempts).toMatchObject({ __typename: 'FeedGap', reason: 'FOREIGN_CURSOR' })
    }
    expect(await second.stop()).toBe(0)
  },
)
