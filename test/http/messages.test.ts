import { expect, test } from 'vitest'
import { AlteredNumber } from '../../src/events/payload.ts'
import { parseExactly } from '../../src/http/json.ts'
import { createMessageReader, refuseAltered } from '../../src/http/messages.ts'

const LIMITS = { messagesAtOnce: 10, messagesPerSecond: 5 }
const PING = Buffer.from('{"type":"ping"}')

test('a WebSocket may send so many messages at once, and so many a second; long ones count as many', () => {
  let ms = 0
  const read = createMessageReader(LIMITS, () => ms)
  for (let index = 0; index < 10; index++) expect(read(PING)).toEqual({ message: { type: 'ping' } })
  expect(read(PING)).toMatchObject({ code: 4429 })
  ms += 1000
  const long = Buffer.from(JSON.stringify({ type: 'subscribe', payload: { query: 'x'.repeat(50_000) } }))
  expect(read(long)).toHaveProperty('message')
  expect(read(PING)).toMatchObject({ code: 4429 })
})

test('only operations may be long', () => {
  const read = createMessageReader(LIMITS)
  for (const type of ['ping', 'pong', 'connection_init', 'complete']) {
    const message = Buffer.from(JSON.stringify({ type, payload: { x: 'x'.repeat(16_384) } }))
    expect([type, read(message)]).toEqual([type, { code: 4400, reason: 'Only operations may be longer than 16 KiB' }])
  }
})

test.each`
  number                      | altered
  ${'12345678901234567'}      | ${true}
  ${'-12345678901234567.5'}   | ${true}
  ${'1e400'}                  | ${true}
  ${'1.5e+400'}               | ${true}
  ${'"12345678901234567"'}    | ${false}
  ${'"\\"12345678901234567"'} | ${false}
  ${'12345678901234560'}      | ${false}
  ${'1e100'}                  | ${false}
  ${'0.1'}                    | ${false}
`('$number is altered by parsing: $altered, in a text of any length', ({ number, altered }) => {
  const short = parseExactly(`[${number}]`)
  expect([(short.value as unknown[])[0] instanceof AlteredNumber, short.isAltered]).toEqual([altered, false])
  const long = `[${'1,"a",'.repeat(30_000)}${number}]`
  expect(parseExactly(long).isAltered).toBe(altered)
})

test('an operation that is long and holds such a number is refused with advice', () => {
  const numbers = `[${'1,'.repeat(100_000)}12345678901234567]`
  const text = `{"type":"subscribe","id":"1","payload":{"query":"{ a }","variables":{"x":${numbers}}}}`
  const found = createMessageReader({ messagesAtOnce: 1000, messagesPerSecond: 5 })(Buffer.from(text))
  const { payload } = (found as { message: { payload: object } }).message
  expect(() => refuseAltered(payload)).toThrow('send it as a string, or send the payload as payloadJson')
  expect(() => refuseAltered({ ...payload })).not.toThrow()
})

test('a body of 5 MB full of numbers takes no seconds', () => {
  const body = `[${'1,'.repeat(2_600_000)}12345678901234567]`
  const before = process.cpuUsage()
  expect(parseExactly(body).isAltered).toBe(true)
  const { user, system } = process.cpuUsage(before)
  // With a reviver 3.6 s.
  expect((user + system) / 1e6).toBeLessThan(1.5)
})
