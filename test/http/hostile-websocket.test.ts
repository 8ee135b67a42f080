import { expect, test } from 'vitest'
import { startApi } from '../graphql/api.ts'
import { eventually } from '../support/eventually.ts'
import { heldBytes, startBystander } from './bystander.ts'
import { frame, openSocket, type RawSocket } from './raw.ts'

const MIB = 1024 * 1024
const USUAL_WAIT_MS = 1500
const LONGEST_WAIT_MS = 10_000
const VIEWER = '{ viewer { name } }'
const WATCH = 'subscription { deliveryAttempts { cursor } }'

async function world(options: Parameters<typeof startApi>[0] = {}) {
  const api = await startApi(options)
  const port = Number(new URL(api.url).port)
  await api.ask('{ viewer { name } endpoints { nodes { id } } }')
  return { ...api, port, bystander: startBystander(api.url, api.adminKey) }
}

const init = (key: string) => JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${key}` } })
const subscribe = (id: string, query: unknown, variables?: object) =>
  JSON.stringify({ type: 'subscribe', id, payload: { query, variables } })

/** Shows the key, and waits until it may ask. */
async function greet(socket: RawSocket, key: string): Promise<void> {
  socket.send(init(key))
  await eventually(() => expect(socket.messages).toContain('{"type":"connection_ack"}'), 15_000)
}

/** What is sent after the handshake, and the code with which the socket is closed. */
const CLOSED: [what: string, frames: (key: string) => (Buffer | string)[], code: number][] = [
  ['a frame without a mask', () => [frame(1, '{"type":"ping"}', { mask: false })], 1002],
  ['a frame that says it is compressed', () => [frame(1, 'x', { reserved: 4 })], 1002],
  ['reserved bits', () => [frame(1, 'x', { reserved: 3 })], 1002],
  ['an opcode that does not exist', () => [frame(5, 'x')], 1002],
  ['a control frame of 126 bytes', () => [frame(9, 'x'.repeat(126))], 1002],
  ['a control frame in two', () => [frame(9, 'x', { fin: false })], 1002],
  ['the end of a message that never began', () => [frame(0, 'x')], 1002],
  ['a message within a message', () => [frame(1, '{', { fin: false }), frame(1, '}')], 1002],
  ['a close code that does not exist', () => [frame(8, Buffer.from([0, 1]))], 1002],
  ['a reason for closing that is no UTF-8', () => [frame(8, Buffer.from([0x03, 0xe8, 0xff]))], 1007],
  ['text that is no UTF-8', () => [frame(1, Buffer.from([0x22, 0xff, 0x22]))], 1007],
  ['a frame of 2^63 bytes', () => [frame(1, '', { length: 2n ** 63n })], 1009],
  ['a frame of 6 MB', () => [frame(1, Buffer.alloc(6 * MIB, 0x20))], 1009],
  ['a message of 2 MB in pieces', () => pieces(32, 65_536), 1009],
  ['a message of 5,000 pieces', () => pieces(5000, 1), 1008],
  ['a message in binary', (key) => [frame(2, init(key))], 1003],
  ['no JSON', () => ['{'], 4400],
  ['JSON that is no message', () => ['[]'], 4400],
  ['a type that does not exist', () => ['{"type":"hack"}'], 4400],
  ['a type that every object has', () => ['{"type":"__proto__"}'], 4400],
  ['an answer instead of a question', () => ['{"type":"next","id":"1","payload":{}}'], 4500],
  ['an operation without an id', (key) => [init(key), '{"type":"subscribe","payload":{"query":"{ a }"}}'], 4400],
  ['an operation with an empty id', (key) => [init(key), subscribe('', VIEWER)], 4400],
  ['an operation with a number as its id', (key) => [init(key), subscribe(5 as never, VIEWER)], 4400],
  ['an operation without a document', (key) => [init(key), '{"type":"subscribe","id":"1","payload":{}}'], 4400],
  ['a document that is an object', (key) => [init(key), subscribe('1', { kind: 'Document' })], 4400],
  ['a list of operations', (key) => [init(key), '{"type":"subscribe","id":"1","payload":[{"query":"{ a }"}]}'], 4400],
  ['an operation before connection_init', () => [subscribe('1', VIEWER)], 4401],
  ['connection_init twice', (key) => [init(key), init(key)], 4429],
  ['one id for two operations', (key) => [init(key), subscribe('1', WATCH), subscribe('1', WATCH)], 4409],
  ['a long message without a key', () => [JSON.stringify({ type: 'ping', payload: { x: 'x'.repeat(20_000) } })], 4401],
  [
    'a long message that is no operation',
    (key) => [init(key), JSON.stringify({ type: 'ping', payload: { x: 'x'.repeat(20_000) } })],
    4400,
  ],
  [
    'a flood of messages with a key',
    (key) => [init(key), ...Array.from({ length: 5000 }, () => '{"type":"ping"}')],
    4429,
  ],
  ['a flood of messages without a key', () => Array.from({ length: 500 }, () => '{"type":"ping"}'), 4401],
  ['no connection_init at all', () => [], 4408],
  ['connection_init, and no key', () => ['{"type":"connection_init"}'], 4401],
]

/** Operations that are refused while the socket lives on. */
const REFUSED: [what: string, query: string, code: string, variables?: object][] = [
  [
    '2,000 aliases',
    `{ ${Array.from({ length: 2000 }, (_, i) => `a${i}: viewer { id }`).join(' ')} }`,
    'DOCUMENT_TOO_LARGE',
  ],
  ['a document of 200,000 letters', `{ viewer { id } } # ${'x'.repeat(200_000)}`, 'DOCUMENT_TOO_LARGE'],
  ['no GraphQL', '{{{', 'GRAPHQL_PARSE_FAILED'],
  ['an unknown field', '{ nonsense }', 'GRAPHQL_VALIDATION_FAILED'],
  ['fragments in a circle', '{ ...A } fragment A on Query { ...A }', 'GRAPHQL_VALIDATION_FAILED'],
  [
    'a value of the wrong type',
    'query ($n: Int) { endpoints(first: $n) { nodes { id } } }',
    'INVALID_INPUT',
    { n: 'x' },
  ],
  ['a page of 2147483647', '{ endpoints(first: 2147483647) { nodes { id } } }', 'INVALID_INPUT'],
  ['a feed cursor that was made up', 'subscription { deliveryAttempts(after: "x") { cursor } }', 'INVALID_INPUT'],
  ['two operations and no name', 'query A { viewer { id } } query B { viewer { id } }', 'BAD_REQUEST'],
]

test('what is hostile on a WebSocket closes that socket, and nobody else notices', async () => {
  const { port, adminKey, bystander } = await world({ limits: { initMs: 1000, strangerMs: 2000 } })
  const heldBefore = heldBytes()
  const wrong = await Promise.all(
    CLOSED.map(async ([what, frames, code]) => {
      const socket = await openSocket(port)
      const [first, ...others] = frames(adminKey)
      if (first === init(adminKey)) await greet(socket, adminKey)
      else if (first !== undefined) socket.send(first)
      socket.send(...others)
      const closed = await within(socket.closed, 15_000)
      return closed === code ? [] : `${what}: ${closed}, not ${code}`
    }),
  )
  expect(wrong.flat()).toEqual([])
  const { asked, failed, medianMs, slowestMs } = await bystander.stop()
  expect({ failed, unharmed: asked > 5 && medianMs < USUAL_WAIT_MS && slowestMs < LONGEST_WAIT_MS }).toEqual({
    failed: 0,
    unharmed: true,
  })
  expect((heldBytes() - heldBefore) / MIB).toBeLessThan(48)
})

test('what is hostile in an operation is refused, and its socket lives on', async () => {
  const { port, adminKey, bystander } = await world()
  const socket = await openSocket(port)
  await greet(socket, adminKey)
  const wrong: string[] = []
  for (const [index, [what, query, code, variables]] of REFUSED.entries()) {
    const id = index % 2 ? '__proto__' : 'constructor'
    socket.send(subscribe(id, query, variables))
    const found = await answerTo(socket, id)
    if (found !== code) wrong.push(`${what}: ${found}, not ${code}`)
  }
  expect(wrong).toEqual([])
  socket.send(subscribe('last', VIEWER))
  await eventually(() => expect(socket.messages.at(-2)).toContain('"name":"test"'))
  expect((await bystander.stop()).failed).toBe(0)
})

test('our own faults are masked on a WebSocket as well', async () => {
  const { port, adminKey, db, bystander } = await world()
  await bystander.stop()
  const socket = await openSocket(port)
  await greet(socket, adminKey)
  await db.sql`alter table postrider.endpoints rename to hidden`
  socket.send(subscribe('1', '{ endpoints { nodes { id } } }'))
  expect(await answerTo(socket, '1')).toBe('INTERNAL')
  expect(socket.messages.join()).toMatch(/under request id [0-9a-f-]{36}/)
  expect(socket.messages.join()).not.toMatch(/hidden|relation|select/i)
})

test('what is no WebSocket of ours is refused before it is one', async () => {
  const { port, bystander } = await world()
  const refusals: [headers: Record<string, string | null>, status: number][] = [
    [{ 'sec-websocket-version': '7' }, 400],
    [{ 'sec-websocket-key': 'short' }, 400],
    [{ 'sec-websocket-key': null }, 400],
    [{ origin: 'https://evil.example' }, 403],
    [{ origin: 'null' }, 403],
    [{ upgrade: 'h2c' }, 401],
  ]
  for (const [headers, status] of refusals) {
    expect([headers, (await openSocket(port, headers)).status]).toEqual([headers, status])
  }
  // Compression is offered by every browser, and not taken.
  const compressed = await openSocket(port, { 'sec-websocket-extensions': 'permessage-deflate' })
  expect(compressed.status).toBe(101)
  const other = await openSocket(port, { 'sec-websocket-protocol': 'graphql-ws' })
  expect(await other.closed).toBe(4406)
  expect((await bystander.stop()).failed).toBe(0)
})

test('who asks and does not read is cut off', async () => {
  const { port, adminKey, bystander } = await world({ limits: { unreadBytes: MIB, messagesAtOnce: 1_000_000 } })
  const rssBefore = process.memoryUsage.rss()
  const pings = await openSocket(port)
  const questions = await openSocket(port)
  await greet(questions, adminKey)
  questions.send(subscribe('first', VIEWER))
  await eventually(() => expect(questions.messages.length).toBeGreaterThan(1))
  for (const { socket } of [pings, questions]) socket.pause()
  const ping = Buffer.concat(Array.from({ length: 1000 }, () => frame(9, 'x'.repeat(125))))
  const question = JSON.stringify({ type: 'ping', payload: { x: 'x'.repeat(16_000) } })
  const flooding = setInterval(() => {
    for (let i = 0; i < 10; i++) pings.socket.write(ping)
    for (let i = 0; i < 40; i++) questions.send(question)
  }, 5)
  await within(questions.closed, 10_000)
  clearInterval(flooding)
  expect(questions.socket.destroyed).toBe(true)
  expect((await bystander.stop()).failed).toBe(0)
  expect((process.memoryUsage.rss() - rssBefore) / MIB).toBeLessThan(500)
})

test('WebSockets are bounded, by address and in all, and those without a key even more', async () => {
  const { port, adminKey, bystander } = await world({
    limits: { sockets: 8, socketsPerAddress: 6, strangersPerAddress: 3 },
  })
  const refused = async () => {
    const { status, refusal } = await openSocket(port)
    return [status, /"code":"(\w+)"/.exec(refusal)?.[1]]
  }
  const sockets = await Promise.all(Array.from({ length: 3 }, () => openSocket(port)))
  expect(await refused()).toEqual([429, 'TOO_MANY_CONNECTIONS'])
  await Promise.all(sockets.map((socket) => greet(socket, adminKey)))
  for (const socket of sockets) socket.send(subscribe('1', VIEWER))
  for (const socket of sockets) await eventually(() => expect(socket.messages.length).toBeGreaterThan(1))
  const more = await Promise.all(Array.from({ length: 3 }, () => openSocket(port)))
  expect(more.map(({ status }) => status)).toEqual([101, 101, 101])
  await Promise.all(more.map((socket) => greet(socket, adminKey)))
  for (const socket of more) socket.send(subscribe('1', VIEWER))
  for (const socket of more) await eventually(() => expect(socket.messages.length).toBeGreaterThan(1))
  expect(await refused()).toEqual([429, 'TOO_MANY_CONNECTIONS'])
  for (const { socket } of [...sockets, ...more]) socket.destroy()
  await eventually(async () => expect(await (await openSocket(port)).status).toBe(101))
  expect((await bystander.stop()).failed).toBe(0)
})

test('of too many without a key, from however many addresses, the oldest ends, and whoever has one comes in', async () => {
  const { port, adminKey, bystander } = await world({ limits: { strangers: 3 } })
  const silent: RawSocket[] = []
  for (let count = 0; count < 5; count++) silent.push(await openSocket(port))
  await eventually(() =>
    expect(silent.map(({ socket }) => socket.destroyed)).toEqual([true, true, false, false, false]),
  )
  const one = await openSocket(port)
  await greet(one, adminKey)
  one.send(subscribe('1', VIEWER))
  await eventually(() => expect(one.messages.length).toBeGreaterThan(1))
  expect((await bystander.stop()).failed).toBe(0)
})

test('operations are bounded by socket, live subscriptions by key and in all, over both transports', async () => {
  const limits = { operationsPerSocket: 4, subscriptionsPerCaller: 6, subscriptions: 8 }
  const { port, url, adminKey, newKey, bystander, feed } = await world({ limits })
  const open = async (key: string, count: number) => {
    const socket = await openSocket(port)
    await greet(socket, key)
    socket.send(...Array.from({ length: count }, (_, index) => subscribe(String(index), WATCH)))
    return socket
  }
  const codes = (socket: RawSocket) => socket.messages.flatMap((text) => /"code":"(\w+)"/.exec(text)?.[1] ?? [])
  const sse = (key: string) =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${key}` },
      body: JSON.stringify({ query: WATCH }),
    })
  const one = await open(adminKey, 6)
  await eventually(() => expect(codes(one)).toEqual(['TOO_MANY_OPERATIONS', 'TOO_MANY_OPERATIONS']))
  const two = await open(adminKey, 3)
  await eventually(() => expect(codes(two)).toEqual(['TOO_MANY_SUBSCRIPTIONS']))
  expect(await (await sse(adminKey)).text()).toContain('TOO_MANY_SUBSCRIPTIONS')
  expect(feed.subscribers()).toBe(6)
  const other = await newKey({ scopes: ['READ'] })
  const three = await open(other, 3)
  await eventually(() => expect(codes(three)).toEqual(['TOO_MANY_SUBSCRIPTIONS']))

  // A place that was left can be taken.
  two.socket.destroy()
  await eventually(() => expect(feed.subscribers()).toBe(6))
  const live = await sse(other)
  await eventually(() => expect(feed.subscribers()).toBe(7))
  await live.body?.cancel()
  for (const { socket } of [one, three]) socket.destroy()
  await eventually(() => expect(feed.subscribers()).toBe(0))
  expect((await bystander.stop()).failed).toBe(0)
})

function pieces(count: number, size: number): Buffer[] {
  const middle = Array.from({ length: count - 2 }, () => frame(0, ' '.repeat(size), { fin: false }))
  return [frame(1, ' '.repeat(size), { fin: false }), ...middle, frame(0, ' '.repeat(size))]
}

/** The first code in what is answered to an operation, until it is over. */
async function answerTo(socket: RawSocket, id: string): Promise<string | undefined> {
  const seen = socket.messages.length
  const answers = () => socket.messages.slice(seen).filter((text) => text.includes(`"id":"${id}"`))
  await eventually(() => expect(answers().some((text) => /"type":"(complete|error)"/.test(text))).toBe(true))
  return answers().flatMap((text) => /"code":"(\w+)"/.exec(text)?.[1] ?? [])[0]
}

function within<T>(promise: Promise<T>, ms: number): Promise<T | 'never'> {
  return Promise.race([promise, new Promise<'never'>((resolve) => setTimeout(() => resolve('never'), ms))])
}
