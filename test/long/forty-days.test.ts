import { expect, test } from 'vitest'
import { fortyDays } from '../retention/forty-days.ts'

// The same with 10,000 events a day, and with a look at how long queries take: `npm run test:long`.
test('forty days: partitions come and go, no row is orphaned, and a writer never waits for a lock', async () => {
  const { written, drops } = await fortyDays(50, { timed: false })
  expect(written.transactions).toBeGreaterThan(500)
  expect(drops).toBeGreaterThanOrEqual(10)
}, 120_000)
