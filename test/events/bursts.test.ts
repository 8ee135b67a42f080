import { expect, test } from 'vitest'
import { newId, type TenantId } from '../../schema/ids.ts'
import { createBursts } from '../../src/events/bursts.ts'

const tenant = newId<'ten'>(new Date())
const other: TenantId = newId<'ten'>(new Date())

test('a steady stream is no burst, very many at once are, and it passes', () => {
  const bursts = createBursts()
  for (let second = 0; second < 60; second++) expect(bursts.add(tenant, 2000, second * 1000)).toBe(false)
  expect(bursts.add(tenant, 2500, 60_000)).toBe(true)
  expect(bursts.add(other, 1, 60_000)).toBe(false)
  expect(bursts.add(tenant, 1, 60_200)).toBe(true)
  expect(bursts.add(tenant, 1, 61_000)).toBe(false)
  for (let n = 0; n < 200; n++) bursts.add(tenant, 500, 62_000)
  expect(bursts.add(tenant, 1, 110_000)).toBe(true)
  expect(bursts.add(tenant, 1, 112_000)).toBe(false)
})
