import { performance } from 'node:perf_hooks'
import { errors } from 'undici'
import { expect, onTestFinished, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { onRawRequest, type RawReceiver } from '../support/receiver.ts'
import { floods } from './misbehaviours.ts'
import { egressOf, rawReceiverOf, receiverOf, saying } from './world.ts'

test('an endless body is left at the cap, and the status decides', async () => {
  const receiver = await rawReceiverOf((socket) => {
    onRawRequest(socket, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      const more = () => {
        while (!socket.destroyed && socket.write(Buffer.alloc(65_536, 'x')));
      }
      socket.on('drain', more)
      more()
    })
  })
  const startedAt = performance.now()

  const result = await egressOf().post(receiver.url, { deadlineMs: 20_000 })

  expect(result).toMatchObject({ status: 200, failure: null, truncated: true })
  expect(result.body).toHaveLength(16_384)
  expect(result.bodyBytes).toBeGreaterThan(1024 * 1024)
  expect(result.bodyBytes).toBeLessThan(2 * 1024 * 1024)
  expect(performance.now() - startedAt).toBeLessThan(5000)
  await eventually(() => expect(receiver.sockets[0]?.destroyed).toBe(true))
})

test('a body that drips is left at the deadline, and the status decides', async () => {
  const receiver = await rawReceiverOf((socket) => {
    onRawRequest(socket, () => {
      socket.write('HTTP/1.1 202 Accepted\r\ncontent-length: 1000\r\n\r\n')
      const drip = setInterval(() => socket.write('x'), 20)
      socket.on('close', () => clearInterval(drip))
    })
  })

  const result = await egressOf().post(receiver.url, { deadlineMs: 300 })

  expect(result).toMatchObject({ status: 202, failure: null, truncated: true })
  expect(result.bodyBytes).toBeGreaterThan(2)
  expect(result.timings.totalMs).toBeGreaterThanOrEqual(295)
  expect(result.timings.totalMs).toBeLessThan(1000)
  await eventually(() => expect(receiver.sockets[0]?.destroyed).toBe(true))
})

test.each`
  how         | end
  ${'closed'} | ${'destroy'}
  ${'reset'}  | ${'resetAndDestroy'}
`('a body that breaks off, $how, changes nothing', async ({ end }: { end: 'destroy' | 'resetAndDestroy' }) => {
  const receiver = await rawReceiverOf((socket) => {
    onRawRequest(socket, () => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf')
      setTimeout(() => socket[end](), 50)
    })
  })

  const result = await egressOf().post(receiver.url)

  expect(result).toMatchObject({ status: 200, failure: null, body: Buffer.from('half'), bodyBytes: 4, truncated: true })
})

test('headers that never end are a timeout at the deadline', async () => {
  const receiver = await rawReceiverOf((socket) => {
    onRawRequest(socket, () => {
      socket.write('HTTP/1.1 200 OK\r\n')
      const drip = setInterval(() => socket.write('x-a: b\r\n'), 20)
      socket.on('close', () => clearInterval(drip))
    })
  })

  const result = await egressOf().post(receiver.url, { deadlineMs: 200 })

  expect(result).toMatchObject({ status: null, bodyBytes: null, headers: [], failure: { errorClass: 'TIMEOUT' } })
  expect(result.timings.firstByteMs).toBeGreaterThan(0)
  await eventually(() => expect(receiver.sockets[0]?.destroyed).toBe(true))
})

test('no answer at all is a timeout at the deadline', async () => {
  const receiver = await receiverOf()
  receiver.answers({ hang: true })
  const result = await egressOf().post(receiver.url, { deadlineMs: 150 })
  expect(result).toMatchObject({ status: null, failure: { errorClass: 'TIMEOUT' }, timings: { firstByteMs: null } })
  expect(result.timings.totalMs).toBeLessThan(1000)
})

test('103 Early Hints come before the answer without being it', async () => {
  const receiver = await saying(
    'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\nx-b: c\r\n\r\n',
  )
  expect(await egressOf().post(receiver.url)).toMatchObject({ status: 204, headers: [['x-b', 'c']], failure: null })
})

test('103 Early Hints alone are no answer', async () => {
  const receiver = await rawReceiverOf((socket) =>
    onRawRequest(socket, () => socket.end('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n')),
  )
  expect(await egressOf().post(receiver.url)).toMatchObject({ status: null, failure: { errorClass: 'RESET' } })
})

test('an answer of HTTP/1.0 that ends with the connection is whole', async () => {
  const receiver = await rawReceiverOf((socket) =>
    onRawRequest(socket, () => socket.end('HTTP/1.0 200 OK\r\n\r\nall of it')),
  )
  const result = await egressOf().post(receiver.url)
  expect(result).toMatchObject({ status: 200, body: Buffer.from('all of it'), truncated: false, failure: null })
})

test.each([
  ['at once', (receiver: RawReceiver) => receiver.sockets],
  ['with bytes of a status line', null],
])('a connection that is reset %s, on a fresh socket, is one failed attempt', async (_, atOnce) => {
  const receiver = await rawReceiverOf((socket) => {
    onRawRequest(socket, () => {
      if (atOnce !== null) return socket.resetAndDestroy()
      socket.write('HTTP/1.1 20')
      setTimeout(() => socket.resetAndDestroy(), 30)
    })
  })

  const result = await egressOf().post(receiver.url)

  expect(result).toMatchObject({ status: null, failure: { errorClass: 'RESET' } })
  expect(receiver.sockets).toHaveLength(1)
})

test('a connection that is closed without an answer is a reset', async () => {
  const receiver = await rawReceiverOf((socket) => onRawRequest(socket, () => socket.end()))
  expect(await egressOf().post(receiver.url)).toMatchObject({ failure: { errorClass: 'RESET' } })
  expect(receiver.sockets).toHaveLength(1)
})

test.each(['end', 'resetAndDestroy'] as const)(
  'a reused socket that dies (%s) before any byte of the answer is sent again, once, on a fresh one',
  async (how) => {
    let requests = 0
    const receiver = await rawReceiverOf((socket) => {
      onRawRequest(socket, (index) => {
        requests++
        if (index === 0) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
        else socket[how]()
      })
    })
    const egress = egressOf()
    await egress.post(receiver.url)

    const result = await egress.post(receiver.url)

    expect(result).toMatchObject({ status: 200, reusedSocket: false, failure: null })
    expect(result.timings.connectMs).toBeGreaterThan(0)
    expect(receiver.sockets).toHaveLength(2)
    expect(requests).toBe(3)
  },
)

test('sent again on a fresh socket, not on another idle one that may be as dead', async () => {
  let healthy = true
  const receiver = await rawReceiverOf((socket, connection) => {
    onRawRequest(socket, () => {
      if (connection < 3 && !healthy) return socket.resetAndDestroy()
      return setTimeout(() => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'), 20)
    })
  })
  const egress = egressOf()
  await Promise.all([1, 2, 3].map(() => egress.post(receiver.url)))
  healthy = false

  expect(await egress.post(receiver.url)).toMatchObject({ status: 200, reusedSocket: false, failure: null })
  expect(receiver.sockets).toHaveLength(4)
})

test('and if the fresh one dies as well, that is the attempt', async () => {
  let requests = 0
  const receiver = await rawReceiverOf((socket) => {
    onRawRequest(socket, () => {
      if (requests++ === 0) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
      else socket.resetAndDestroy()
    })
  })
  const egress = egressOf()
  await egress.post(receiver.url)

  expect(await egress.post(receiver.url)).toMatchObject({ status: null, failure: { errorClass: 'RESET' } })
  expect(requests).toBe(3)
})

test.each(['HTTP/1.1 2', '\r\n'])(
  'a reused socket that dies after the first bytes of an answer (%j) is not sent again',
  async (bytes) => {
    let requests = 0
    const receiver = await rawReceiverOf((socket) => {
      onRawRequest(socket, () => {
        if (requests++ === 0) return socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
        socket.write(bytes)
        return setTimeout(() => socket.resetAndDestroy(), 30)
      })
    })
    const egress = egressOf()
    await egress.post(receiver.url)

    const result = await egress.post(receiver.url)
    expect(result).toMatchObject({ reusedSocket: true, failure: { errorClass: 'RESET' } })
    expect(requests).toBe(2)
  },
)

test('an answer before the body was read counts, and its socket is not used again', async () => {
  const receiver = await rawReceiverOf((socket) => {
    socket.once('readable', () => {
      socket.write('HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n')
    })
  })
  const egress = egressOf()
  const body = Buffer.alloc(8 * 1024 * 1024)

  expect(await egress.post(receiver.url, { body })).toMatchObject({ status: 413, failure: null })
  expect(await egress.post(receiver.url, { body })).toMatchObject({ status: 413, failure: null, reusedSocket: false })
  expect(receiver.sockets).toHaveLength(2)
})

test('what comes while nothing is asked for ends the socket, even line breaks, which the parser would pass over', async () => {
  const receiver = await rawReceiverOf((socket) => {
    onRawRequest(socket, () => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
      setTimeout(() => socket.write('\r\n'), 20)
    })
  })
  const egress = egressOf({ idleMs: 60_000 })
  expect(await egress.post(receiver.url)).toMatchObject({ status: 200 })

  await eventually(() => expect(receiver.sockets[0]?.readableEnded).toBe(true))
  expect(await egress.post(receiver.url)).toMatchObject({ status: 200, reusedSocket: false })
})

test('a flood that the parser swallows is left after some hundred KiB', async () => {
  let sent = 0
  const receiver = await rawReceiverOf((socket) => {
    onRawRequest(socket, () => {
      const more = () => {
        while (!socket.destroyed && socket.write(Buffer.alloc(4096, '\r\n'))) sent += 4096
      }
      socket.on('drain', more)
      more()
    })
  })

  const result = await egressOf().post(receiver.url, { deadlineMs: 20_000 })

  expect(result).toMatchObject({ status: null, failure: { errorClass: 'PROTOCOL' } })
  expect(result.timings.firstByteMs).toBeGreaterThan(0)
  // Most of it stands in the buffers of the two sockets.
  expect(sent).toBeLessThan(16 * 1024 * 1024)
})

test('after a long body, too, what is no body is left soon', async () => {
  let pieces = 0
  const receiver = await rawReceiverOf((socket) => {
    onRawRequest(socket, () => {
      socket.write(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40000\r\n${'x'.repeat(0x40000)}\r\n1;`)
      const timer = setInterval(() => socket.write('x'.repeat(16_384)) && pieces++, 10)
      socket.on('close', () => clearInterval(timer))
    })
  })

  const result = await egressOf().post(receiver.url)

  expect(result).toMatchObject({ status: 200, failure: null, truncated: true, bodyBytes: 0x40000 })
  expect(pieces).toBeLessThan(16)
})

test('a body that is next to nothing but framing is left soon', async () => {
  const receiver = await rawReceiverOf(
    floods('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n', `1;${'x'.repeat(1000)}\r\nx\r\n`),
  )
  const result = await egressOf().post(receiver.url)
  expect(result).toMatchObject({ status: 200, failure: null, truncated: true })
  expect(result.bodyBytes).toBeLessThan(1000)
})

test('headers too many to be read cost one error, not one for each', async () => {
  const receiver = await saying(`HTTP/1.1 200 OK\r\n${'a:\r\n'.repeat(20_000)}\r\n`)
  let made = 0
  // undici makes them, each with a stack: 10,000 of them took 100 ms.
  Object.defineProperty(errors.HeadersOverflowError.prototype, 'code', {
    configurable: true,
    set(value) {
      made++
      Object.defineProperty(this, 'code', { value, configurable: true, writable: true })
    },
  })
  onTestFinished(() => void Reflect.deleteProperty(errors.HeadersOverflowError.prototype, 'code'))

  expect(await egressOf().post(receiver.url)).toMatchObject({ failure: { errorClass: 'HEADERS_TOO_LARGE' } })
  expect(made).toBeLessThanOrEqual(1)
})

test('of headers 16 KiB are taken, and not a byte more', async () => {
  const headers = (bytes: number) => `HTTP/1.1 200 OK\r\ncontent-length:0\r\nx:${'a'.repeat(bytes - 16)}\r\n\r\n`
  const [just, more] = [await saying(headers(16 * 1024)), await saying(headers(16 * 1024 + 1))]
  expect(await egressOf().post(just.url)).toMatchObject({ status: 200, failure: null })
  expect(await egressOf().post(more.url)).toMatchObject({ failure: { errorClass: 'HEADERS_TOO_LARGE' } })
})
