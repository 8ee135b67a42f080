import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect, test } from 'vitest'
import {
  OPERATIONAL_EVENT_TYPES,
  OPERATIONAL_EVENTS,
  type OperationalEventType,
} from '../../schema/operational-events.ts'
import { isReservedEventType } from '../../src/event-types/names.ts'
import { receiverOf } from '../egress/world.ts'
import { startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

const ajv = new Ajv2020({ strict: true, strictTypes: false, validateFormats: false })
const faults = (type: OperationalEventType, data: unknown) => {
  ajv.validate(OPERATIONAL_EVENTS[type].schema, data)
  return ajv.errors ?? []
}

test.each(OPERATIONAL_EVENT_TYPES)('the example of %s satisfies its schema, and its name is reserved', (type) => {
  expect(faults(type, OPERATIONAL_EVENTS[type].example)).toEqual([])
  expect(faults(type, { ...OPERATIONAL_EVENTS[type].example, tenant: undefined })).not.toEqual([])
  expect(isReservedEventType(type)).toBe(true)
})

test('what is announced satisfies the schemas, and says no more than they do', async () => {
  const engine = await startEngine({
    healthRules: { failingAfterSeconds: 0, disableAfterSeconds: 0, disableAfterAttempts: 3 },
  })
  const [receiver, listener] = [await receiverOf(), await receiverOf()]
  receiver.answers(500, 200, { hang: true })
  await engine.addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: [] }, timeoutSeconds: 1, eventTypes: ['a'] })
  await engine.addEndpoint(listener.url, { eventTypes: ['endpoint.*', 'delivery.*'] })
  const seen = () =>
    listener.requests.map(({ body }) => JSON.parse(body.toString()) as { type: OperationalEventType; data: object })
  for (let published = 1; published <= 5; published++) {
    await engine.publish(1, 'a')
    await eventually(async () =>
      expect((await engine.attempts()).filter((one) => one.eventType === 'a')).toHaveLength(published),
    )
  }
  await eventually(() => expect(new Set(seen().map(({ type }) => type))).toEqual(new Set(OPERATIONAL_EVENT_TYPES)))
  for (const { type, data } of seen()) {
    expect(faults(type, data), type).toEqual([])
    expect(Object.keys(data).sort(), type).toEqual(Object.keys(OPERATIONAL_EVENTS[type].example).sort())
  }
})
