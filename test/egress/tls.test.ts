import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket, TlsOptions } from 'node:tls'
import { afterEach, expect, test, vi } from 'vitest'
import { parseNetworks } from '../../src/egress/address-rules.ts'
import { createEgress, type EgressOptions } from '../../src/egress/request.ts'
import { startRawReceiver } from '../support/receiver.ts'
import { authority, expired, valid } from './certificates.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function httpsReceiver(options: TlsOptions, listener: RequestListener = (_, response) => response.end('ok')) {
  const sockets: TLSSocket[] = []
  const server = createServer(options, listener)
  server.on('secureConnection', (socket) => sockets.push(socket)).on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return { port: (server.address() as AddressInfo).port, sockets }
}

function post(url: string, options: Partial<EgressOptions> = {}, deadlineMs = 2000) {
  const egress = createEgress({
    allowNetworks: parseNetworks('127.0.0.0/8'),
    resolve: async () => ['127.0.0.1'],
    tls: { ca: authority },
    ...options,
  })
  closing.push(() => egress.close())
  return egress.send({ url, method: 'POST', headers: [], body: Buffer.from('{}'), deadlineMs })
}

test('the certificate is checked against the host name, and SNI names it, though an address is dialled', async () => {
  const { port, sockets } = await httpsReceiver(valid)

  const result = await post(`https://receiver.test:${port}/`)

  expect(result).toMatchObject({ status: 200, body: Buffer.from('ok'), remoteAddress: '127.0.0.1', failure: null })
  expect((sockets[0] as TLSSocket & { servername: string }).servername).toBe('receiver.test')
  expect(sockets[0]?.alpnProtocol).toBe('http/1.1')
  const { dnsMs, connectMs, tlsMs } = result.timings
  for (const phase of [dnsMs, connectMs, tlsMs]) expect(phase).toBeGreaterThan(0)
})

test('an address in the URL is checked against the addresses of the certificate', async () => {
  const { port } = await httpsReceiver(valid)
  expect(await post(`https://127.0.0.1:${port}/`)).toMatchObject({ status: 200 })

  const { port: other } = await httpsReceiver(expired)
  const result = await post(`https://127.0.0.1:${other}/`, { tls: { ca: authority } })
  expect(result.failure?.errorClass).toMatch(/^TLS_(HOSTNAME|EXPIRED)$/)
})

test.each([
  ['another host name', valid, 'https://somebody.test', { ca: authority }, 'TLS_HOSTNAME'],
  ['an expired certificate', expired, 'https://receiver.test', { ca: authority }, 'TLS_EXPIRED'],
  ['an authority nobody knows', valid, 'https://receiver.test', {}, 'TLS_UNTRUSTED'],
  [
    'no version in common',
    { ...valid, maxVersion: 'TLSv1.2' },
    'https://receiver.test',
    { ca: authority, minVersion: 'TLSv1.3' },
    'TLS_PROTOCOL',
  ],
] as const)('%s', async (_, server, origin, tls, errorClass) => {
  const handled = vi.fn()
  const { port } = await httpsReceiver(server as TlsOptions, handled)
  expect(await post(`${origin}:${port}/`, { tls })).toMatchObject({ status: null, failure: { errorClass } })
  expect(handled).not.toHaveBeenCalled()
})

test('a certificate of ours that the server wants and does not get', async () => {
  const { port } = await httpsReceiver({ ...valid, requestCert: true, rejectUnauthorized: true, ca: authority })
  const result = await post(`https://receiver.test:${port}/`)
  expect(result.failure).toMatchObject({ errorClass: 'TLS_CLIENT_CERTIFICATE' })
})

test('a port that speaks no TLS', async () => {
  const receiver = await startRawReceiver((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  closing.push(() => receiver.close())
  expect((await post(`https://receiver.test:${receiver.port}/`)).failure).toMatchObject({ errorClass: 'TLS_PROTOCOL' })
})

test('a handshake that is closed, and one that never ends, which leaves no socket behind', async () => {
  const closer = await startRawReceiver((socket) => socket.once('data', () => socket.destroy()))
  const silent = await startRawReceiver((socket) => socket.resume())
  closing.push(closer.close, silent.close)

  expect((await post(`https://receiver.test:${closer.port}/`)).failure).toMatchObject({ errorClass: 'RESET' })
  const result = await post(`https://receiver.test:${silent.port}/`, {}, 200)

  expect(result.failure).toMatchObject({ errorClass: 'CONNECT_TIMEOUT' })
  expect(result.timings.totalMs).toBeLessThan(1000)
  await vi.waitFor(() => expect(silent.sockets[0]?.readableEnded || silent.sockets[0]?.destroyed).toBe(true))
})

test('closing closes the socket below the TLS one', async () => {
  const { port, sockets } = await httpsReceiver(valid)
  const egress = createEgress({
    allowNetworks: parseNetworks('127.0.0.0/8'),
    resolve: async () => ['127.0.0.1'],
    tls: { ca: authority },
  })
  await egress.send({
    url: `https://receiver.test:${port}/`,
    method: 'POST',
    headers: [],
    body: Buffer.from('{}'),
    deadlineMs: 2000,
  })
  const again = await egress.send({
    url: `https://receiver.test:${port}/`,
    method: 'POST',
    headers: [],
    body: Buffer.from('{}'),
    deadlineMs: 2000,
  })
  expect(again.reusedSocket).toBe(true)

  await egress.close()

  await vi.waitFor(() => expect(sockets[0]?.destroyed).toBe(true))
})
