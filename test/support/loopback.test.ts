import { execFile } from 'node:child_process'
import dgram from 'node:dgram'
import dns, { Resolver } from 'node:dns'
import { Resolver as PromisesResolver } from 'node:dns/promises'
import { connect, createServer, Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { temporaryDirectory } from './app.ts'
import { startReceiver } from './receiver.ts'
import { takeEscapes } from './setup.ts'

// Addresses for documentation, so that not even the failure of this test could reach anybody.
test.each<[string, () => unknown]>([
  ['a socket by port and host', () => connect(80, '192.0.2.1')],
  ['a socket by options', () => connect({ host: '192.0.2.1', port: 80 })],
  ['a socket to a name', () => connect({ host: 'receiver.invalid', port: 80 })],
  ['a socket by IPv6', () => new Socket().connect({ host: '2001:db8::1', port: 80 })],
  ['a socket to any address', () => connect({ host: '0.0.0.0', port: 80 })],
  ['a TLS socket', () => connectTls({ host: '192.0.2.1', port: 443 })],
  ['a request', () => fetch('http://192.0.2.1/')],
  ['a datagram', () => dgram.createSocket('udp4').send('x', 53, '192.0.2.1')],
  ['a connected datagram socket', () => dgram.createSocket('udp4').connect(53, '192.0.2.1')],
  ['a system look-up', () => dns.lookup('receiver.invalid', () => {})],
  ['a promised system look-up', () => dns.promises.lookup('receiver.invalid')],
  ['a name server', () => new Resolver().setServers(['192.0.2.53'])],
  ['a promised name server', () => new PromisesResolver().setServers(['127.0.0.1', '[2001:db8::53]:53'])],
])('%s that would leave loopback throws, and fails the test that hides it', async (_, leave) => {
  await expect((async () => leave())()).rejects.toThrow()

  expect(takeEscapes()).toMatchObject([{ name: 'Escape' }])
})

test('a name server that nobody chose is nobody', async () => {
  expect(new PromisesResolver().getServers()).toEqual(['127.0.0.1:1'])
  await expect(dns.promises.resolve4('receiver.invalid')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})

test('loopback and Unix sockets are open', async () => {
  const receiver = await startReceiver()
  expect((await fetch(receiver.url)).status).toBe(200)
  expect((await fetch(receiver.url.replace('127.0.0.1', 'localhost'))).status).toBe(200)
  await receiver.close()
  const path = join(await temporaryDirectory(), 'socket')
  const server = createServer((socket) => socket.end('hello')).listen(path)
  const socket = connect(path)
  expect(String(await new Promise((resolve) => socket.once('data', resolve)))).toBe('hello')
  server.close()
})

test('a process that a test launches is confined as well, and ends when it tries to leave', async () => {
  const run = promisify(execFile)
  const leave = `require('node:net').connect(80, '192.0.2.1').on('error', () => {})`
  await expect(run(process.execPath, ['-e', leave])).rejects.toMatchObject({
    code: 97,
    stderr: expect.stringContaining('No test contacts anything but loopback'),
  })
  const { stdout } = await run(process.execPath, ['-p', `new (require('node:dns').Resolver)().getServers()[0]`])
  expect(stdout.trim()).toBe('127.0.0.1:1')
})

test('so is a thread', async () => {
  const leave = `import { connect } from 'node:net'; connect(80, '192.0.2.1').on('error', () => {})`
  const thread = new Worker(new URL(`data:text/javascript,${encodeURIComponent(leave)}`), { stderr: true })
  expect(await new Promise((resolve) => thread.once('exit', resolve))).toBe(97)
})
