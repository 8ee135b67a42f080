import { expect, test, vi } from 'vitest'
import { newId } from '../../schema/ids.ts'
import { createSlots } from '../../src/deliveries/slots.ts'

const tenant = () => newId<'ten'>(new Date())
const takeAll = (slots: ReturnType<typeof createSlots>, of: ReturnType<typeof tenant>) => {
  const releases = []
  for (let release = slots.take(of); release !== null; release = slots.take(of)) releases.push(release)
  return releases
}

test('a tenant that is alone can use three quarters of the sockets, another one the rest, and nobody more than all', () => {
  vi.useFakeTimers()
  try {
    const slots = createSlots(10, () => {})
    const [many, few, third] = [tenant(), tenant(), tenant()]
    const releases = takeAll(slots, many)
    expect(releases).toHaveLength(60)
    expect(takeAll(slots, few)).toHaveLength(20)
    expect(slots.take(third)).toBeNull()
    for (const release of releases.splice(0, 15)) release()
    expect(slots.take(many)).toBeNull()
    expect(takeAll(slots, third)).toHaveLength(15)
    vi.advanceTimersByTime(250)
    expect(slots.free()).toBe(0)
    for (const release of releases) release()
    expect(slots.free()).toBe(10)
  } finally {
    vi.useRealTimers()
  }
})
