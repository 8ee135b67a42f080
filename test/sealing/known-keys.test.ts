import { randomBytes } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { openClient } from '../../src/postgres/client.ts'
import { processesWithout, sessionName } from '../../src/sealing/known-keys.ts'
import { type MasterKey, parseMasterKeys } from '../../src/sealing/master-keys.ts'
import { createDatabase, openDatabase } from '../support/database.ts'

const [NEW, OLD, OLDER] = parseMasterKeys(
  Array.from({ length: 3 }, () => randomBytes(32).toString('base64')).join(),
) as [MasterKey, MasterKey, MasterKey]

const everybody = { lacking: false, sealingOtherwise: false }

test.each([
  ['nobody runs', [], everybody],
  ['the one that runs seals with it', [[NEW, OLD]], everybody],
  [
    'one has it, but seals with another',
    [
      [NEW, OLD],
      [OLD, NEW],
    ],
    { lacking: false, sealingOtherwise: true },
  ],
  ['one does not have it', [[NEW], [OLD, OLDER]], { lacking: true, sealingOtherwise: true }],
  ['one has no keys', [[NEW], []], { lacking: true, sealingOtherwise: true }],
])('who lacks a new key, and who goes on sealing with another: %s', async (_, processes, expected) => {
  const address = await createDatabase()
  for (const keys of processes) {
    const session = await openClient(address, { max: 1, name: sessionName(keys), log: silentLog })
    onTestFinished(() => session.end())
    await session`select 1`
  }
  const { sql } = await openDatabase(address)
  expect(await processesWithout(sql, NEW.id)).toEqual(expected)
})
