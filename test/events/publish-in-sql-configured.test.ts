import { expect, onTestFinished, test } from 'vitest'
import { createApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { silentLog } from '../../src/log.ts'
import { settingsFor } from '../support/app.ts'
import { createDatabase, openDatabase } from '../support/database.ts'
import { publishIn } from '../support/publish-in-sql.ts'

test('a process that starts has postrider.publish refuse what its configuration says', async () => {
  const address = await createDatabase()
  const settings = { ...(await settingsFor(address)), PORT: '0', HOST: '127.0.0.1', POSTRIDER_ROLE: 'api' }
  const { sql } = await openDatabase(address)
  const start = async (more: Record<string, string>) => {
    const app = createApp(readConfig({ ...settings, ...more }), silentLog)
    onTestFinished(() => app.stop(0).then(() => {}))
    await app.start()
  }
  await start({ POSTRIDER_MAX_PAYLOAD_BYTES: '2048' })
  await publishIn(sql)
  await expect(publishIn(sql, { payload: `"${'a'.repeat(2047)}"` })).rejects.toMatchObject({ code: 'PR005' })
  await start({ POSTRIDER_UNKNOWN_EVENT_TYPES: 'refuse' })
  await expect(publishIn(sql)).rejects.toMatchObject({ code: 'PR003' })
  expect(await sql`select from postrider.events`).toHaveLength(1)
})
