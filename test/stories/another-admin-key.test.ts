import { expect, onTestFinished, test } from 'vitest'
import { launch, settingsFor } from '../support/app.ts'
import { createDatabase, openDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

const NEW_KEY = 'prk_another_admin_key_for_the_tests'

test('a process that starts with another admin key ends what lives by the one before, in the others too', async () => {
  const address = await createDatabase()
  const settings = await settingsFor(address)
  const old = (await launch(settings)).api()
  const feed = old.follow('subscription { deliveryAttempts { cursor } }')
  // By word of it, not by the poll, which might come at the right moment.
  const { sql } = await openDatabase(address)
  const words: string[] = []
  const { unlisten } = await sql.listen('postrider_wake', (payload) => words.push(...payload.split(' ')))
  onTestFinished(unlisten)

  const process = await launch({ ...settings, POSTRIDER_ADMIN_KEY: NEW_KEY })

  await eventually(() => expect(words).toContain('credentials'))
  await eventually(() => expect(feed.failed()).not.toBeNull())
  await expect(old.ask('{ viewer { name } }')).rejects.toThrow('A valid API key or portal session is needed')
  expect(await process.api(NEW_KEY).ask('{ viewer { name } }')).toEqual({ viewer: { name: 'POSTRIDER_ADMIN_KEY' } })
})
