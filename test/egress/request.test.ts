import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { parseNetworks } from '../../src/egress/address-rules.ts'
import { eventually } from '../support/eventually.ts'
import { onRawRequest, startReceiver } from '../support/receiver.ts'
import { egressOf, rawReceiverOf, receiverOf, saying } from './world.ts'

test('what is sent is what was given, byte for byte, and nothing asks for compression', async () => {
  const receiver = await receiverOf()
  receiver.answers({ status: 201, headers: { 'X-Trace': 'abc' }, body: 'thanks' })
  const body = Buffer.from([0, 255, 10, 13, 128, 1])

  const result = await egressOf().post(`${receiver.url}?a=%20b&c`, {
    method: 'PUT',
    headers: [
      ['content-type', 'application/json'],
      ['webhook-id', 'evt_1'],
    ],
    body,
  })

  expect(receiver.requests).toMatchObject([{ method: 'PUT', path: '/hook?a=%20b&c', body }])
  expect(receiver.requests[0]?.rawHeaders.map(([name, value]) => `${name}: ${value}`)).toEqual([
    `host: 127.0.0.1:${receiver.port}`,
    'connection: keep-alive',
    'content-type: application/json',
    'webhook-id: evt_1',
    'accept-encoding: identity',
    'content-length: 6',
  ])
  expect(result).toMatchObject({
    status: 201,
    body: Buffer.from('thanks'),
    bodyBytes: 6,
    truncated: false,
    remoteAddress: '127.0.0.1',
    reusedSocket: false,
    failure: null,
  })
  expect(result.headers).toContainEqual(['X-Trace', 'abc'])
  expect(result.timings).toMatchObject({ dnsMs: null, tlsMs: null })
  expect(result.timings.connectMs).toBeGreaterThan(0)
  expect(result.timings.firstByteMs).toBeGreaterThan(0)
  expect(result.timings.totalMs).toBeGreaterThanOrEqual(result.timings.firstByteMs as number)
})

test('a socket is used again, one request at a time', async () => {
  const receiver = await receiverOf()
  const egress = egressOf()
  const first = await egress.post(receiver.url)
  const second = await egress.post(receiver.url)

  expect([first.reusedSocket, second.reusedSocket]).toEqual([false, true])
  expect(second.timings).toMatchObject({ dnsMs: null, connectMs: null, tlsMs: null })
  expect(second.remoteAddress).toBe('127.0.0.1')
  expect(receiver.connections()).toBe(1)

  await Promise.all(Array.from({ length: 20 }, () => egress.post(receiver.url)))
  expect(receiver.connections()).toBeLessThanOrEqual(20)
  expect(receiver.requests).toHaveLength(22)
})

test.each([
  [301, 'location', 'http://127.0.0.1:1/'],
  [307, 'location', 'http://127.0.0.1:1/'],
  [410, 'x-a', 'b'],
  [429, 'retry-after', '5'],
  [500, 'x-a', 'b'],
])('status %i is an answer, not a failure, and is not followed', async (status, name, value) => {
  const receiver = await receiverOf()
  receiver.answers({ status, headers: { [name]: value }, body: 'no' })

  const result = await egressOf().post(receiver.url)

  expect(result).toMatchObject({ status, failure: null, body: Buffer.from('no') })
  expect(result.headers).toContainEqual([name, value])
  expect(receiver.requests).toHaveLength(1)
})

test('repeated headers stay apart, in order, latin1', async () => {
  const receiver = await saying(
    Buffer.from(
      'HTTP/1.1 503 x\r\nRetry-After: 1\r\nretry-after: 2\r\nX-Name: Z\xfcrich\r\ncontent-length: 0\r\n\r\n',
      'latin1',
    ),
  )

  const result = await egressOf().post(receiver.url)

  expect(result).toMatchObject({ status: 503, failure: null })
  expect(result.headers).toEqual([
    ['Retry-After', '1'],
    ['retry-after', '2'],
    ['X-Name', 'Zürich'],
    ['content-length', '0'],
  ])
})

test('a compressed body is kept as it is', async () => {
  const receiver = await receiverOf()
  receiver.answers({ headers: { 'content-encoding': 'gzip' }, body: Buffer.from([0x1f, 0x8b, 8]) })
  const result = await egressOf().post(receiver.url)
  expect(result.body).toEqual(Buffer.from([0x1f, 0x8b, 8]))
})

test('of a large body 16 KiB are kept and all is counted', async () => {
  const receiver = await receiverOf()
  receiver.answers({ body: Buffer.alloc(300_000, 'x') })
  const egress = egressOf()

  const result = await egress.post(receiver.url)

  expect(result).toMatchObject({ status: 200, bodyBytes: 300_000, truncated: true })
  expect(result.body).toEqual(Buffer.alloc(16_384, 'x'))
  expect((await egress.post(receiver.url)).reusedSocket).toBe(true)
})

test('a body exactly as long as is kept is not truncated', async () => {
  const receiver = await receiverOf()
  receiver.answers({ body: Buffer.alloc(16_384, 'x') })
  expect(await egressOf().post(receiver.url)).toMatchObject({ bodyBytes: 16_384, truncated: false })
})

test('a v6 literal is dialled without its brackets', async () => {
  const receiver = await receiverOf()
  const dialled: string[] = []
  const egress = egressOf({
    allowNetworks: parseNetworks('::1'),
    dial: ({ address, family }) => {
      dialled.push(`${address} v${family}`)
      const socket = connect({ host: '127.0.0.1', port: receiver.port })
      return Object.defineProperty(socket, 'remoteAddress', { value: address })
    },
  })
  expect(await egress.post(`http://[0:0::1]:${receiver.port}/hook`)).toMatchObject({
    status: 200,
    remoteAddress: '::1',
  })
  expect(dialled).toEqual(['::1 v6'])
  expect(receiver.requests[0]?.headers.host).toBe(`[::1]:${receiver.port}`)
})

test('nothing listens: refused', async () => {
  const receiver = await startReceiver()
  await receiver.close()
  const result = await egressOf().post(receiver.url)
  expect(result).toMatchObject({ status: null, remoteAddress: null, failure: { errorClass: 'CONNECT_REFUSED' } })
})

test('a socket closed while idle costs nothing', async () => {
  const receiver = await receiverOf()
  receiver.answers({ headers: { connection: 'close' } })
  const egress = egressOf()
  for (let i = 0; i < 5; i++)
    expect(await egress.post(receiver.url)).toMatchObject({ status: 200, reusedSocket: false })
  expect(receiver.requests).toHaveLength(5)
})

test.each([
  ['a URL that is none', { url: 'nonsense' }],
  ['a URL of another protocol', { url: 'ftp://127.0.0.1/' }],
  ['a header name that is none', { headers: [['a b', 'c']] as [string, string][] }],
  ['a header with a line break', { headers: [['a', 'b\r\nc: d']] as [string, string][] }],
])('%s is our fault, not a crash', async (_, more) => {
  const receiver = await receiverOf()
  const result = await egressOf().post(receiver.url, more)
  expect(result).toMatchObject({ status: null, failure: { errorClass: 'INTERNAL' } })
  expect(receiver.requests).toEqual([])
})

test('an address that is not allowed is blocked without a connection', async () => {
  const receiver = await receiverOf()
  const result = await egressOf({ allowNetworks: parseNetworks('10.0.0.0/8') }).post(receiver.url)
  expect(result).toMatchObject({ status: null, remoteAddress: null, failure: { errorClass: 'BLOCKED_ADDRESS' } })
  expect(receiver.connections()).toBe(0)
})

test('the deadline also ends resolving', async () => {
  const egress = egressOf({ resolve: () => new Promise(() => {}) })
  const result = await egress.post('http://hooks.test/', { deadlineMs: 100 })
  expect(result.failure).toMatchObject({ errorClass: 'DNS' })
  expect(result.timings.totalMs).toBeLessThan(1000)
})

test('idle sockets are closed after a while', async () => {
  const receiver = await rawReceiverOf((socket) =>
    onRawRequest(socket, () => {
      socket.write('HTTP/1.1 200 OK\r\nkeep-alive: timeout=600\r\ncontent-length: 0\r\n\r\n')
    }),
  )
  await egressOf({ idleMs: 100 }).post(receiver.url)
  await eventually(() => expect(receiver.sockets[0]?.readableEnded).toBe(true))
})

test('a socket is not used for ever, however busy: a host that has moved is noticed', async () => {
  const receiver = await receiverOf()
  const { post } = egressOf({ longestLifeMs: 100 })
  await post(receiver.url)
  expect((await post(receiver.url)).reusedSocket).toBe(true)
  await new Promise((resolve) => setTimeout(resolve, 120))
  expect((await post(receiver.url)).reusedSocket).toBe(false)
  expect(receiver.connections()).toBe(2)
})

test('very many headers are too many, however small', async () => {
  const headers = (count: number) => Array.from({ length: count }, (_, n) => `h${n}: x\r\n`).join('')
  const answer = (count: number) => `HTTP/1.1 200 OK\r\n${headers(count)}content-length: 0\r\n\r\n`
  expect((await egressOf().post((await saying(answer(199))).url)).status).toBe(200)
  const { failure } = await egressOf().post((await saying(answer(200))).url)
  expect(failure).toEqual({ errorClass: 'HEADERS_TOO_LARGE', message: 'The answer has more than 200 headers.' })
})

test('a body that comes byte by byte is kept in one piece', async () => {
  const text = 'abcdefghij'.repeat(30)
  const chunks = [...text].map((byte) => `1\r\n${byte}\r\n`).join('')
  const receiver = await saying(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`)
  const { body, bodyBytes, truncated } = await egressOf().post(receiver.url)
  expect([body.toString(), bodyBytes, truncated]).toEqual([text, 300, false])
  // Together with what a growing buffer keeps in reserve.
  expect(body.buffer.byteLength).toBeLessThanOrEqual(600)
})

test('close ends what is under way, and nothing is sent after it', async () => {
  const receiver = await receiverOf()
  receiver.answers({ hang: true })
  const egress = egressOf()
  const underway = egress.post(receiver.url)
  const connecting = egress.post('http://127.0.0.1:1/')
  await receiver.waitForRequests(1)

  await egress.close()

  expect(await underway).toMatchObject({ status: null, failure: { errorClass: 'INTERNAL' } })
  expect(await connecting).toMatchObject({ status: null })
  expect(await egress.post(receiver.url)).toMatchObject({ failure: { errorClass: 'INTERNAL' } })
  expect(receiver.requests).toHaveLength(1)
})
