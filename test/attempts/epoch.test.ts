import { expect, test } from 'vitest'
import { readEpoch } from '../../src/attempts/epoch.ts'
import { createDatabase, openDatabase } from '../support/database.ts'

test('a database has one epoch, a copy of it another, and so has one that was told to', async () => {
  const address = await createDatabase()
  const original = await openDatabase(address)
  const epoch = await readEpoch(original.sql)
  expect(await Promise.all([1, 2].map(() => readEpoch(original.sql)))).toEqual([epoch, epoch])
  await original.close()

  const copy = await openDatabase(await createDatabase(address.database))
  const epochs = [epoch, await readEpoch(copy.sql)]
  // As docs/backup.md has it.
  await copy.sql`update postrider.installation set epoch = substr(md5(random()::text), 1, 12)`
  epochs.push(await readEpoch(copy.sql))

  expect(new Set(epochs).size).toBe(3)
})
