import { expect, test } from 'vitest'
import type { Db } from '../../src/postgres/client.ts'
import { checkDatabase } from '../../src/postgres/preflight.ts'

test.each([
  [{ fsync: 'off' }, 'runs with fsync=off:', 'Turn it on.'],
  [{ fullPageWrites: 'off' }, 'runs with full_page_writes=off:', 'Turn it on.'],
  [{ fsync: 'off', fullPageWrites: 'off' }, 'runs with fsync=off and full_page_writes=off:', 'Turn both on.'],
])('of what makes a server durable it names what is off: %o', async (facts, what, advice) => {
  const good = { version: 150_000, fsync: 'on', fullPageWrites: 'on', encoding: 'UTF8', mayCreate: true }
  const db = { sql: async () => [{ ...good, inRecovery: false, ...facts }] } as unknown as Db
  const refused = checkDatabase(db)
  await expect(refused).rejects.toThrow(what)
  await expect(refused).rejects.toThrow(advice)
})
