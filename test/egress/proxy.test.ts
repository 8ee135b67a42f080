import { once } from 'node:events'
import { type AddressInfo, connect, Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { parseNetworks } from '../../src/egress/address-rules.ts'
import type { Dial } from '../../src/egress/connector.ts'
import { parseProxy } from '../../src/egress/proxy-url.ts'
import type { EgressOptions } from '../../src/egress/request.ts'
import { silentLog } from '../../src/log.ts'
import { eventually } from '../support/eventually.ts'
import { type Behaviour, startProxy } from '../support/proxy.ts'
import { onRawRequest } from '../support/receiver.ts'
import { authority, valid } from './certificates.ts'
import { egressOf, rawReceiverOf, receiverOf } from './world.ts'

async function tlsReceiver() {
  const server = createTlsServer(valid, (socket) => {
    socket.on('error', () => {})
    onRawRequest(socket, () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'))
  }).listen(0, '127.0.0.1')
  server.on('tlsClientError', () => {})
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port
}

function world(port: number, options: Partial<EgressOptions> & { scheme?: string; user?: string } = {}) {
  const { scheme = 'http', user = '', ...rest } = options
  const log = { ...silentLog, warn: vi.fn() }
  const proxy = parseProxy(`${scheme}://${user}127.0.0.1:${port}`)
  const resolve = async () => ['93.184.215.14']
  return { log, ...egressOf({ proxy, resolve, log, allowNetworks: [], tls: { ca: authority }, ...rest }) }
}

const answering =
  (text: string): Behaviour =>
  (socket) =>
    socket.write(text)

test.each([
  ['http', 'http'],
  ['https', 'http'],
  ['http', 'https'],
  ['https', 'https'],
])(
  '%s through a proxy by %s: a tunnel to the vetted address, and the name only in what goes through it',
  async (scheme, by) => {
    const receiver = await receiverOf()
    const to = scheme === 'http' ? receiver.port : await tlsReceiver()
    const proxy = await startProxy({ to, certificate: by === 'https' ? valid : null })
    const egress = world(proxy.port, { scheme: by })

    const results = [
      await egress.post(`${scheme}://receiver.test/hook`),
      await egress.post(`${scheme}://receiver.test/hook`),
    ]

    expect(results).toMatchObject([
      { status: 200, failure: null, remoteAddress: '93.184.215.14', reusedSocket: false },
      { status: 200, failure: null, remoteAddress: '93.184.215.14', reusedSocket: true },
    ])
    const authorityForm = `93.184.215.14:${scheme === 'http' ? 80 : 443}`
    expect(proxy.heads).toEqual([`CONNECT ${authorityForm} HTTP/1.1\r\nhost: ${authorityForm}\r\n\r\n`])
    if (scheme === 'http') expect(receiver.requests[0]?.headers.host).toBe('receiver.test')
    expect(egress.log.warn).not.toHaveBeenCalled()
  },
)

test('an IPv6 target, a port, and the credentials of the proxy', async () => {
  const receiver = await receiverOf()
  const proxy = await startProxy({ to: receiver.port })
  const egress = world(proxy.port, { user: 'us%40er:p%3Ass@', resolve: async () => ['2606:4700::1'] })

  expect(await egress.post('http://receiver.test:8080/')).toMatchObject({ status: 200, remoteAddress: '2606:4700::1' })

  const credentials = `Basic ${Buffer.from('us@er:p:ss').toString('base64')}`
  expect(proxy.heads[0]?.split('\r\n').slice(0, 3)).toEqual([
    'CONNECT [2606:4700::1]:8080 HTTP/1.1',
    'host: [2606:4700::1]:8080',
    `proxy-authorization: ${credentials}`,
  ])
  expect(receiver.requests[0]?.headers['proxy-authorization']).toBeUndefined()
})

test('what may not be dialled may not be tunnelled to either', async () => {
  const proxy = await startProxy()
  const inner = world(proxy.port, { resolve: async () => ['169.254.169.254'] })
  const literal = world(proxy.port)

  expect((await inner.post('http://hooks.test/')).failure).toMatchObject({ errorClass: 'BLOCKED_ADDRESS' })
  expect((await literal.post('http://127.0.0.1/')).failure).toMatchObject({ errorClass: 'BLOCKED_ADDRESS' })
  expect((await literal.post(`http://127.0.0.1:${proxy.port}/`)).failure).toMatchObject({
    errorClass: 'BLOCKED_ADDRESS',
  })

  expect(proxy.sockets.size).toBe(0)
})

test.each<[string, Behaviour, string]>([
  ['resets', (socket) => socket.resetAndDestroy(), 'failed'],
  ['hangs up', (socket) => socket.end(), 'failed'],
  ['never ends its answer', (socket) => socket.write('HTTP/1.1 200 OK\r\nX-A: b\r\n'), 'in time'],
  ['answers garbage', answering('SSH-2.0-OpenSSH_9.6\r\n\r\n'), 'failed'],
  ['answers HTTP/2', answering('HTTP/2 200\r\n\r\n'), 'failed'],
  ['answers too much', answering(`HTTP/1.1 200 OK\r\nX-A: ${'b'.repeat(20_000)}\r\n\r\n`), 'failed'],
  ['answers too much without an end', answering('x'.repeat(100_000)), 'failed'],
  ['wants credentials', answering('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n'), 'failed'],
  ['forbids the port', answering('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n'), 'failed'],
  ['redirects', answering('HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\n\r\n'), 'failed'],
  ['fails', answering('HTTP/1.0 500 Oops\r\n\r\n'), 'failed'],
])('a proxy that %s is not the fault of the endpoint, and the operator learns why', async (_, behave, what) => {
  const proxy = await startProxy({ behave })
  const egress = world(proxy.port, { user: 'user:hunter2@', connectTimeoutMs: 200 })

  const { failure, remoteAddress } = await egress.post('http://hooks.test/')

  expect(failure).toMatchObject({ errorClass: 'PROXY', message: expect.stringContaining(what) })
  expect(failure?.message).not.toContain('127.0.0.1')
  expect(remoteAddress).toBeNull()
  expect(egress.log.warn).toHaveBeenCalledExactlyOnceWith(
    {
      proxy: `127.0.0.1:${proxy.port}`,
      host: 'hooks.test',
      address: '93.184.215.14',
      port: 80,
      err: expect.objectContaining({ message: expect.stringMatching(/./) }),
    },
    expect.any(String),
  )
  expect(JSON.stringify([egress.log.warn.mock.calls, failure])).not.toContain('hunter2')
  await eventually(() =>
    expect([...proxy.sockets].every((socket) => socket.destroyed || socket.readableEnded)).toBe(true),
  )
})

test('a proxy that is not there, or not known', async () => {
  const refused = await world(1).post('http://hooks.test/')
  expect(refused.failure?.errorClass).toBe('PROXY')
  const proxy = parseProxy('http://proxy.internal:3128')
  for (const answer of [
    { kind: 'none', nameExists: false },
    { kind: 'failed', cause: new Error('EAI_AGAIN') },
  ] as const) {
    const unknown = world(1, { proxy, lookUpProxy: async () => answer })
    expect((await unknown.post('http://hooks.test/')).failure?.errorClass).toBe('PROXY')
    expect(unknown.log.warn).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ proxy: 'proxy.internal:3128' }),
      expect.any(String),
    )
  }
})

test.each([
  [502, 'UNREACHABLE'],
  [503, 'UNREACHABLE'],
  [504, 'CONNECT_TIMEOUT'],
])('a proxy that answers %i speaks of the server', async (status, errorClass) => {
  const proxy = await startProxy({ behave: answering(`HTTP/1.1 ${status} Sorry\r\n\r\n`) })
  const egress = world(proxy.port, { resolve: async () => ['93.184.215.14', '93.184.215.15'] })

  expect((await egress.post('http://hooks.test/')).failure).toEqual({
    errorClass,
    message: expect.stringContaining(`says the egress proxy (${status})`),
  })
  // The next address may be better.
  expect(proxy.heads).toHaveLength(2)
})

const TAKEN_BY_NOBODY = {
  errorClass: 'CONNECT_TIMEOUT',
  message: expect.stringContaining('took no connection through the egress proxy in time'),
}

test('a server that never takes the connection is at fault, not the proxy, and the next address may be better', async () => {
  const receiver = await receiverOf()
  const proxy = await startProxy({ behave: () => {} })
  const addresses = ['93.184.215.14', '93.184.215.15']
  const none = world(proxy.port, { connectTimeoutMs: 200, resolve: async () => addresses })
  expect((await none.post('http://hooks.test/')).failure).toEqual(TAKEN_BY_NOBODY)
  expect(proxy.heads.map((head) => head.split(':')[0])).toEqual(addresses.map((address) => `CONNECT ${address}`))
  expect(none.log.warn).toHaveBeenCalledWith(
    expect.objectContaining({ host: 'hooks.test', address: '93.184.215.14' }),
    expect.stringContaining('not answered'),
  )

  const better = await startProxy({
    to: receiver.port,
    behave(socket, head) {
      if (head.includes('93.184.215.14:')) return
      const onward = connect({ host: '127.0.0.1', port: receiver.port })
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      socket.pipe(onward).pipe(socket)
    },
  })
  const one = world(better.port, { resolve: async () => addresses })
  expect(await one.post('http://hooks.test/', { deadlineMs: 800 })).toMatchObject({
    status: 200,
    remoteAddress: '93.184.215.15',
  })
})

// With a long time to connect the deadline of the attempt is what ends it.
test.each([
  ['to connect', { connectTimeoutMs: 100, deadlineMs: 2000 }],
  ['of the attempt', { connectTimeoutMs: 10_000, deadlineMs: 150 }],
])('when the time %s is over, it is told how far it came', async (_, { connectTimeoutMs, deadlineMs }) => {
  const silent = await startProxy({ behave: () => {} })
  const deaf = await rawReceiverOf((socket) => socket.resume())
  const by = {
    dial: world(1, { connectTimeoutMs, dial: neverConnecting }),
    tls: world(deaf.port, { connectTimeoutMs, scheme: 'https' }),
    tunnel: world(silent.port, { connectTimeoutMs }),
  }
  const late = { errorClass: 'PROXY', message: expect.stringContaining('did not bring a connection about in time') }
  for (const [phase, failure] of [
    ['dial', late],
    ['tls', late],
    ['tunnel', TAKEN_BY_NOBODY],
  ] as const) {
    const { failure: told, timings } = await by[phase].post('http://hooks.test/', { deadlineMs })
    expect(told, phase).toEqual(failure)
    expect(timings.connectMs, phase).toBeGreaterThan(90)
    expect(timings.totalMs, phase).toBeLessThan(700)
  }
})

// As soon as it has no time left before its own timers fire, only the exchange can tell.
test('the deadline itself tells how far it came', async () => {
  const silent = await startProxy({ behave: () => {} })
  const lookUpProxy = () => new Promise<never>(() => {})
  const proxy = parseProxy('http://proxy.internal:3128')
  const reaching = await world(1, { proxy, lookUpProxy }).post('http://hooks.test/', { deadlineMs: 150 })
  const slowTimers = vi.spyOn(AbortSignal, 'timeout').mockReturnValue(new AbortController().signal)
  onTestFinished(() => slowTimers.mockRestore())
  const asking = await world(silent.port).post('http://hooks.test/', { deadlineMs: 150 })

  expect(reaching.failure).toEqual({ errorClass: 'PROXY', message: expect.stringContaining('in time') })
  expect(asking.failure).toEqual(TAKEN_BY_NOBODY)
  for (const { timings } of [reaching, asking]) expect(timings.connectMs).toBeGreaterThan(140)
})

/** A socket whose `connect` never comes is what a firewall that drops packets looks like. */
const neverConnecting: Dial = () => new Socket()

test('what a server says before it is asked comes through', async () => {
  const greeting = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
  const proxy = await startProxy({
    behave: (socket) => {
      socket.write('HTTP/1.1 200 OK\r\n')
      setTimeout(() => socket.write('\r\n'), 20)
      onRawRequest(socket, () => socket.write(greeting))
    },
  })
  expect(await world(proxy.port).post('http://hooks.test/')).toMatchObject({ status: 200, body: Buffer.from('ok') })
})

test('the proxy variables of the environment have no effect', async () => {
  const receiver = await receiverOf()
  const proxy = await startProxy({ to: receiver.port })
  for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'http_proxy', 'https_proxy', 'all_proxy']) {
    vi.stubEnv(name, `http://127.0.0.1:${proxy.port}`)
  }
  vi.stubEnv('NODE_USE_ENV_PROXY', '1')
  const egress = egressOf({ allowNetworks: parseNetworks('127.0.0.0/8') })

  expect(await egress.post(receiver.url)).toMatchObject({ status: 200, remoteAddress: '127.0.0.1' })

  expect(proxy.sockets.size).toBe(0)
})
afterEach(() => void vi.unstubAllEnvs())

test.each`
  text                                   | proxy
  ${'http://proxy.internal:3128'}        | ${{ protocol: 'http:', hostname: 'proxy.internal', port: 3128, authorization: null }}
  ${'http://proxy.internal:3128/'}       | ${{ protocol: 'http:', hostname: 'proxy.internal', port: 3128, authorization: null }}
  ${'https://proxy.internal'}            | ${{ protocol: 'https:', hostname: 'proxy.internal', port: 443, authorization: null }}
  ${'http://[::1]:3128'}                 | ${{ protocol: 'http:', hostname: '::1', port: 3128, authorization: null }}
  ${'http://user@proxy.internal:3128'}   | ${{ protocol: 'http:', hostname: 'proxy.internal', port: 3128, authorization: 'Basic dXNlcjo=' }}
  ${'http://u:p@proxy.internal:3128'}    | ${{ protocol: 'http:', hostname: 'proxy.internal', port: 3128, authorization: 'Basic dTpw' }}
  ${'http://u:p%C3%BC@proxy.internal:1'} | ${{ protocol: 'http:', hostname: 'proxy.internal', port: 1, authorization: 'Basic dTpww7w=' }}
`('$text is understood', ({ text, proxy }) => expect(parseProxy(text)).toEqual(proxy))

test.each([
  'proxy.internal:3128',
  'socks5://u:hunter2@proxy.internal:1080',
  'http://u:hunter2@proxy.internal:3128/path',
  'http://u:hunter2@proxy.internal:3128?a=b',
  'http://u:hunter2@proxy.internal:3128/#a',
  'http://u:hunter2@proxy.internal:99999',
  'http://u:hunter2@proxy.internal:0',
  'http://u:hunter2%@proxy.internal:3128',
  'http://u%3Aser:hunter2@proxy.internal:3128',
  'http://',
])('%s is refused without its password', (text) => {
  expect(() => parseProxy(text)).toThrow(expect.objectContaining({ code: 'MALFORMED_PROXY' }))
  expect(() => parseProxy(text)).not.toThrow('hunter2')
})
