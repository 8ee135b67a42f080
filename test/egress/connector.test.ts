import { connect, type Socket } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { parseNetworks } from '../../src/egress/address-rules.ts'
import { createConnector, type Dial } from '../../src/egress/connector.ts'
import { newOpening } from '../../src/egress/opening.ts'
import type { Resolve } from '../../src/egress/resolver.ts'
import { type Target, targetOf } from '../../src/egress/target.ts'
import { silentLog } from '../../src/log.ts'
import { eventually } from '../support/eventually.ts'
import { startRawReceiver } from '../support/receiver.ts'
import { egressOf, receiverOf } from './world.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const resolvesTo =
  (...addresses: string[]): Resolve =>
  async () =>
    addresses

const mustNotResolve: Resolve = async () => {
  throw new Error('a literal is not resolved')
}

/** Notes every address that would be dialled, and dials loopback; `arriveAt` is what the socket then says it reached. */
async function world({
  allow = '127.0.0.0/8 ::1 10.0.0.0/8',
  resolve = mustNotResolve,
  refuse = [],
  arriveAt = (address) => address,
  connectTimeoutMs = 1000,
}: {
  allow?: string
  resolve?: Resolve
  refuse?: string[]
  arriveAt?: (address: string) => string
  connectTimeoutMs?: number
} = {}) {
  const receiver = await startRawReceiver(() => {})
  closing.push(() => receiver.close())
  const dialled: string[] = []
  const dial: Dial = ({ address }) => {
    dialled.push(address)
    // Port 1 of loopback: nothing listens there, so the connection is refused.
    const socket = connect({ host: '127.0.0.1', port: refuse.includes(address) ? 1 : receiver.port })
    Object.defineProperty(socket, 'remoteAddress', { value: arriveAt(address) })
    closing.push(() => socket.destroy())
    return socket
  }
  const log = { ...silentLog, warn: vi.fn(), error: vi.fn() }
  const connector = createConnector({ allowNetworks: parseNetworks(allow), resolve, dial, log, connectTimeoutMs })
  const opening = newOpening()
  const open = (url: string, signal = new AbortController().signal): Promise<Socket> => {
    return connector(targetOf(new URL(url)) as Target, opening, signal, Number.POSITIVE_INFINITY)
  }
  return { open, dialled, opening, log, receiver }
}

test.each([
  'http://127.0.0.1/',
  'http://127.1/',
  'http://2130706433/',
  'http://0x7f.1/',
  'http://0177.0.0.1/',
  'http://①②⑦.⓪.⓪.①/',
  'http://127。0。0。1/',
  'http://%31%32%37.0.0.1/',
])('%s is the literal 127.0.0.1, and is judged as that', async (url) => {
  const outside = await world({ allow: '' })
  await expect(outside.open(url)).rejects.toMatchObject({ code: 'BLOCKED_ADDRESS' })
  expect(outside.dialled).toEqual([])

  const inside = await world({ allow: '127.0.0.0/8' })
  await inside.open(url)
  expect(inside.dialled).toEqual(['127.0.0.1'])
  expect(inside.opening).toMatchObject({ phase: 'open', dnsMs: null, tlsMs: null, remoteAddress: '127.0.0.1' })
  expect(inside.opening.connectMs).toBeGreaterThan(0)
})

test('a v6 literal in brackets, also a mapped one', async () => {
  const { open, dialled } = await world()
  await open('http://[::1]/')
  await open('http://[::ffff:127.0.0.1]/')
  await expect(open('http://[::ffff:192.168.0.1]/')).rejects.toMatchObject({ code: 'BLOCKED_ADDRESS' })
  await expect(open('http://[::]/')).rejects.toMatchObject({ code: 'BLOCKED_ADDRESS' })
  expect(dialled).toEqual(['::1', '::ffff:7f00:1'])
})

test.each`
  answer                             | dialled
  ${['10.0.0.1']}                    | ${['10.0.0.1']}
  ${['192.168.0.1', '10.0.0.1']}     | ${['10.0.0.1']}
  ${['10.0.0.1', '169.254.169.254']} | ${['10.0.0.1']}
  ${['::ffff:10.0.0.1']}             | ${['::ffff:10.0.0.1']}
`('of a name that resolves to $answer, $dialled is dialled', async ({ answer, dialled }) => {
  const name = await world({ resolve: resolvesTo(...answer) })

  await name.open('http://hooks.test/')

  expect(name.dialled).toEqual(dialled)
  expect(name.opening.dnsMs).toBeGreaterThanOrEqual(0)
})

test.each([[['192.168.0.1']], [['169.254.169.254', '::ffff:192.168.0.1']], [['0.0.0.0']], [['nonsense']]])(
  'a name that resolves to %j is blocked; the consumer learns its host, the operator the addresses',
  async (answer) => {
    const { open, dialled, log } = await world({ resolve: resolvesTo(...answer) })

    const error = await open('http://hooks.test/').catch((error) => error)

    expect(error).toMatchObject({ code: 'BLOCKED_ADDRESS', message: expect.stringContaining('hooks.test') })
    expect(error.message).not.toContain(answer[0])
    const refused = answer.map((address) => ({ address, reason: expect.any(String) }))
    expect(log.warn).toHaveBeenCalledWith({ host: 'hooks.test', port: 80, refused }, expect.anything())
    expect(dialled).toEqual([])
  },
)

test('a name is resolved once, so that a second answer cannot be another one', async () => {
  const answers = [['10.0.0.1'], ['169.254.169.254']]
  const resolve = vi.fn(async () => answers.shift() ?? [])
  const { open, dialled } = await world({ resolve })

  await open('http://rebind.test/')

  expect(resolve).toHaveBeenCalledTimes(1)
  expect(dialled).toEqual(['10.0.0.1'])
})

test('a socket that ended up elsewhere is closed and blocked', async () => {
  const { open, opening, receiver, log } = await world({
    resolve: resolvesTo('10.0.0.1'),
    arriveAt: () => '169.254.169.254',
  })

  await expect(open('http://hooks.test/')).rejects.toMatchObject({ code: 'BLOCKED_ADDRESS' })

  expect(opening.remoteAddress).toBeNull()
  expect(log.error).toHaveBeenCalledTimes(1)
  await eventually(() =>
    expect(receiver.sockets.every((socket) => socket.readableEnded || socket.destroyed)).toBe(true),
  )
})

test('addresses are tried in turn until one answers', async () => {
  const { open, dialled, opening } = await world({
    resolve: resolvesTo('10.0.0.1', '10.0.0.2', '10.0.0.3'),
    refuse: ['10.0.0.1'],
  })

  await open('http://hooks.test/')

  expect(dialled).toEqual(['10.0.0.1', '10.0.0.2'])
  expect(opening.remoteAddress).toBe('10.0.0.2')
})

test('when all refuse, the failure is the refusal', async () => {
  const { open } = await world({ resolve: resolvesTo('10.0.0.1', '10.0.0.2'), refuse: ['10.0.0.1', '10.0.0.2'] })
  await expect(open('http://hooks.test/')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})

test('a silent address leaves time for the next one', async () => {
  const receiver = await startRawReceiver(() => {})
  closing.push(() => receiver.close())
  const dialled: string[] = []
  const connector = createConnector({
    allowNetworks: parseNetworks('10.0.0.0/8'),
    resolve: resolvesTo('10.0.0.1', '10.0.0.2'),
    log: silentLog,
    connectTimeoutMs: 400,
    dial: ({ address }) => {
      dialled.push(address)
      const socket = connect({ host: '127.0.0.1', port: receiver.port })
      Object.defineProperty(socket, 'remoteAddress', { value: address })
      // A socket whose `connect` never comes is what a firewall that drops packets looks like.
      if (address === '10.0.0.1') socket.emit = () => true
      closing.push(() => socket.destroy())
      return socket
    },
  })
  const startedAt = performance.now()

  const target: Target = { protocol: 'http:', hostname: 'hooks.test', port: 80 }
  await connector(target, newOpening(), new AbortController().signal, Number.POSITIVE_INFINITY)

  expect(dialled).toEqual(['10.0.0.1', '10.0.0.2'])
  expect(performance.now() - startedAt).toBeLessThan(390)
})

test('a silent address leaves time for the next one within the deadline of the attempt, too', async () => {
  const receiver = await receiverOf()
  const dialled: string[] = []
  const egress = egressOf({
    allowNetworks: parseNetworks('10.0.0.0/8'),
    resolve: resolvesTo('10.0.0.1', '10.0.0.2'),
    dial: ({ address }) => {
      dialled.push(address)
      const socket = connect({ host: '127.0.0.1', port: receiver.port })
      Object.defineProperty(socket, 'remoteAddress', { value: address })
      if (address === '10.0.0.1') socket.emit = () => true
      closing.push(() => socket.destroy())
      return socket
    },
  })

  const result = await egress.post('http://hooks.test/', { deadlineMs: 800 })

  expect(result).toMatchObject({ status: 200, remoteAddress: '10.0.0.2', failure: null })
  expect(result.timings.connectMs).toBeGreaterThan(250)
  expect(dialled).toEqual(['10.0.0.1', '10.0.0.2'])
})

test('whatever goes wrong with a resolver is a DNS failure', async () => {
  const { open, dialled } = await world({ resolve: mustNotResolve })
  await expect(open('http://hooks.test/')).rejects.toMatchObject({ code: 'DNS' })
  expect(dialled).toEqual([])
})

test('an aborted opening ends at once, while it resolves', async () => {
  const { open, opening, dialled } = await world({ resolve: () => new Promise(() => {}) })
  const aborter = new AbortController()
  const opened = open('http://hooks.test/', aborter.signal)
  aborter.abort()

  await expect(opened).rejects.toMatchObject({ code: 'DNS' })
  expect(opening.phase).toBe('dns')
  expect(dialled).toEqual([])
})
