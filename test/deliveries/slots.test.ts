import { expect, onTestFinished, test, vi } from 'vitest'
import { type EndpointId, newId, type TenantId } from '../../schema/ids.ts'
import { createSlots } from '../../src/deliveries/slots.ts'

// Eight sockets for each slot.
const SOCKETS = 80

function world() {
  vi.useFakeTimers()
  onTestFinished(() => {
    vi.useRealTimers()
  })
  const slots = createSlots(SOCKETS / 8, () => {})
  const takeAll = (tenant: TenantId, endpoint = newId<'ep'>(new Date())) => {
    const releases = []
    for (let release = slots.take(tenant, endpoint); release !== null; release = slots.take(tenant, endpoint))
      releases.push(release)
    return releases
  }
  const tenant = () => newId<'ten'>(new Date())
  return { slots, takeAll, tenant, endpoint: (): EndpointId => newId<'ep'>(new Date()) }
}

test('a tenant that is alone uses three quarters of the sockets, and then an eighth for the first two of each endpoint', () => {
  const { takeAll, tenant } = world()
  const alone = tenant()
  expect(takeAll(alone)).toHaveLength(60)
  expect([1, 2, 3, 4, 5, 6].map(() => takeAll(alone).length)).toEqual([2, 2, 2, 2, 2, 0])
})

test('what one tenant with many leaves is for the others, and nobody has more than there are', () => {
  const { slots, takeAll, tenant, endpoint } = world()
  const [many, few, third] = [tenant(), tenant(), tenant()]
  const releases = takeAll(many)
  expect(takeAll(few)).toHaveLength(20)
  expect(slots.take(third, endpoint())).toBeNull()
  for (const release of releases.splice(0, 15)) release()
  expect(slots.take(many, endpoint())).not.toBeNull()
  expect(takeAll(third)).toHaveLength(14)
})

test('a request counts for a quarter of a second, its socket until it ends', () => {
  const { slots, takeAll, tenant } = world()
  const releases = takeAll(tenant()).slice(0, 59)
  expect(slots.free()).toBeLessThan(0)
  vi.advanceTimersByTime(250)
  expect(slots.free()).toBe(10)
  for (const release of releases) release()
  expect(slots.free()).toBe(10)
})
