import { expect, test } from 'vitest'
import { fortyDays, median } from '../retention/forty-days.ts'

const PER_DAY = 10_000

test('forty days of 10,000 events: no lock wait over 100 ms, no orphan, and queries as fast at the end as at first', async () => {
  const began = performance.now()
  const { written, queries, drops, rows } = await fortyDays(PER_DAY)
  expect(rows).toBeGreaterThan(30 * PER_DAY)
  expect(drops).toBeGreaterThanOrEqual(10)
  // The third day to the tenth, with nothing dropped yet, and the last eight, with three times as many days.
  const table = Object.keys(queries[0] ?? {}).map((name) => {
    const [early, late] = [median(queries.slice(2, 10), name), median(queries.slice(-8), name)]
    return { query: name, earlyMs: Number(early.toFixed(1)), lateMs: Number(late.toFixed(1)) }
  })
  console.table(table)
  console.log({ ...written, rows, seconds: Math.round((performance.now() - began) / 1000) })
  for (const { query, earlyMs, lateMs } of table) {
    // Planning grows with the partitions, from 25 to 45; reading must not.
    expect(lateMs, query).toBeLessThan(3 * earlyMs + 10)
    expect(lateMs, query).toBeLessThan(100)
  }
})
