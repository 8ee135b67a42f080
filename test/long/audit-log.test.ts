import { expect, test } from 'vitest'
import { readFromMany } from '../audit/many-entries.ts'

test('an audit log of a million entries is read as quickly as a short one', async () => {
  const readings = await readFromMany(1_000_000)
  console.table(readings)
  for (const { name, ms } of readings) expect(ms, name).toBeLessThan(100)
})
