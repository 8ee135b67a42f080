import { connect, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import type { HttpLimits } from '../../src/http/limits.ts'
import { createUnread } from '../../src/http/unread.ts'
import { startApi } from '../graphql/api.ts'
import { eventually } from '../support/eventually.ts'
import { frame, openSocket, request } from './raw.ts'

const MIB = 1024 * 1024
const PAYLOADS = '{ events(first: 40) { nodes { payloadJson } } }'

async function world(limits: Partial<HttpLimits>) {
  const api = await startApi({ limits })
  const { publisher, tenantId } = api
  const payloadJson = JSON.stringify('x'.repeat(250_000))
  await publisher.publishBatch(Array.from({ length: 40 }, () => ({ tenantId, type: 'a', payloadJson })))
  return { ...api, port: Number(new URL(api.url).port) }
}

test('when all together leave too much unread, those that leave the most are cut off', () => {
  const unread = createUnread(100)
  const cut: number[] = []
  const readers = [10, 60, 20, 30].map((bytes) => ({ unreadBytes: () => bytes, cut: () => cut.push(bytes) }))
  const stops = readers.slice(0, 3).map((reader) => unread.add(reader))
  for (const reader of readers.slice(0, 3)) unread.sent(reader)
  expect(cut).toEqual([])
  const last = readers[3] as (typeof readers)[0]
  stops.push(unread.add(last))
  // So little of it that nobody counts.
  unread.sent(last)
  expect(cut).toEqual([])
  const large = { unreadBytes: () => 101, cut: () => cut.push(101) }
  stops.push(unread.add(large))
  unread.sent(large)
  expect(cut).toEqual([101, 60])
  for (const stop of stops) stop()
})

test('answers that nobody reads fill no memory, over both transports and from as many sockets as there are', async () => {
  const { port, adminKey } = await world({ unreadBytesInAll: 25 * MIB })
  let cut = 0
  const sockets: { socket: Socket; sign: string | Buffer }[] = []
  for (let index = 0; index < 4; index++) {
    const socket = await openSocket(port)
    socket.send(JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${adminKey}` } }))
    await eventually(() => expect(socket.messages).toContain('{"type":"connection_ack"}'))
    socket.socket.pause()
    socket.send(JSON.stringify({ type: 'subscribe', id: '1', payload: { query: PAYLOADS } }))
    sockets.push({ socket: socket.socket, sign: frame(10, '') })
  }
  for (let index = 0; index < 4; index++) {
    const socket = connect(port, '127.0.0.1').pause()
    socket.on('error', () => {})
    socket.write(request(JSON.stringify({ query: PAYLOADS }), { authorization: `Bearer ${adminKey}` }))
    sockets.push({ socket, sign: '\r\n' })
  }
  // Whoever does not read does not notice the end: writing does.
  for (const { socket, sign } of sockets) {
    socket.on('close', () => cut++)
    const timer = setInterval(() => (socket.destroyed ? clearInterval(timer) : socket.write(sign)), 100)
  }
  // 8 answers of 10 MB, of which two fit.
  await eventually(() => expect(cut).toBeGreaterThanOrEqual(5), 15_000)
  for (const { socket } of sockets) socket.destroy()
})

test('only a live subscription may take as long as it likes, whatever is accepted', async () => {
  const { port, adminKey } = await world({ answerMs: 1000 })
  const closed = await new Promise<boolean>((resolve) => {
    const socket = connect(port, '127.0.0.1').pause()
    socket.on('error', () => {})
    socket.on('close', () => resolve(true))
    const headers = { authorization: `Bearer ${adminKey}`, accept: 'text/event-stream' }
    socket.write(request(JSON.stringify({ query: PAYLOADS }), headers))
    const timer = setInterval(() => (socket.destroyed ? clearInterval(timer) : socket.write('\r\n')), 100)
    setTimeout(() => {
      resolve(false)
      socket.destroy()
    }, 8000)
  })
  expect(closed).toBe(true)
}, 20_000)

test('a pong that answers nothing is no sign of life', async () => {
  const { port } = await startApi({ limits: { pingMs: 300 } }).then(({ url }) => ({ port: Number(new URL(url).port) }))
  const socket = await openSocket(port)
  const timer = setInterval(() => socket.send(frame(10, '')), 50)
  const began = performance.now()
  await socket.closed
  clearInterval(timer)
  // Not by the deadline for connection_init.
  expect(performance.now() - began).toBeLessThan(8000)
})
