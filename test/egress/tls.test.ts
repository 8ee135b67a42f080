import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import { expect, onTestFinished, test, vi } from 'vitest'
import { eventually } from '../support/eventually.ts'
import * as certificates from './certificates.ts'
import { answers, answersAndCloses, EMPTY } from './misbehaviours.ts'
import { behindTls, saysAfterHello, tlsAlert, wantsCertificate } from './misbehaviours-tls.ts'
import { egressOf, rawReceiverOf } from './world.ts'

const { authority, HOST, valid } = certificates

const egressTrusting = () => egressOf({ resolve: async () => ['127.0.0.1'], tls: { ca: authority } })

test('the certificate is checked against the host name, and SNI names it, though an address is dialled', async () => {
  const sockets: TLSSocket[] = []
  const server = createServer({ ...valid, ALPNProtocols: ['http/1.1'] }, (socket) => {
    sockets.push(socket)
    answers(EMPTY)(socket)
  })
  onTestFinished(() => void server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  const result = await egressTrusting().post(`https://${HOST}:${port}/`)

  expect(result).toMatchObject({ status: 200, remoteAddress: '127.0.0.1', failure: null })
  expect((sockets[0] as TLSSocket & { servername: string }).servername).toBe(HOST)
  expect(sockets[0]?.alpnProtocol).toBe('http/1.1')
})

test('an address in the URL is checked against the addresses of the certificate', async () => {
  const [good, other] = [await rawReceiverOf(behindTls(valid)), await rawReceiverOf(behindTls(certificates.forNoHost))]
  expect(await egressTrusting().post(`https://127.0.0.1:${good.port}/`)).toMatchObject({ status: 200 })
  expect(await egressTrusting().post(`https://127.0.0.1:${other.port}/`)).toMatchObject({
    failure: { errorClass: 'TLS_HOSTNAME' },
  })
})

test('a chain with its intermediate is whole', async () => {
  const { port } = await rawReceiverOf(behindTls(certificates.validByIntermediate))
  expect(await egressTrusting().post(`https://${HOST}:${port}/`)).toMatchObject({ status: 200, failure: null })
})

test.each([
  ['expired', certificates.expired, 'TLS_EXPIRED', 'The certificate of the server expired on 2026-03-01. Renew it.'],
  [
    'not yet valid',
    certificates.notYetValid,
    'TLS_EXPIRED',
    'The certificate of the server is not valid before 2099-05-01. Use one that is valid now.',
  ],
  [
    'whose intermediate expired',
    certificates.expiredIntermediate,
    'TLS_EXPIRED',
    'A certificate in the chain of the server expired on 2026-03-01. Renew it.',
  ],
  [
    'for others, with names that are an attack',
    certificates.forAnotherHost,
    'TLS_HOSTNAME',
    `The certificate of the server is made out to "other.test", "<script>\\'\\u0007\\u00e9", "${'x'.repeat(80)}..." and 97 more, not to receiver.test.`,
  ],
  [
    'for nobody, but with a name that is an attack',
    certificates.forNoHost,
    'TLS_HOSTNAME',
    `The certificate of the server is made out to "no 'host' at all?${'x'.repeat(50)}", not to receiver.test.`,
  ],
  [
    'self-signed',
    certificates.selfSigned,
    'TLS_UNTRUSTED',
    'The certificate of the server is self-signed. Use one of a public authority.',
  ],
  [
    'without its intermediate',
    certificates.withoutIntermediate,
    'TLS_UNTRUSTED',
    'The server sent its certificate alone, and its issuer "Intermediate" is no authority known here. Most often the intermediate certificate is missing: let the server send the full chain.',
  ],
  [
    'of an authority nobody knows',
    certificates.ofAStranger,
    'TLS_UNTRUSTED',
    'The certificate of the server comes from the authority "Stranger", which is not trusted here. Use one of a public authority or, with a client certificate, one that `clientCertificate.caPem` names.',
  ],
  [
    'with a key that is too small',
    certificates.weak,
    'TLS_UNTRUSTED',
    'The certificate of the server is not acceptable: its key or its signature is too weak, most likely.',
  ],
] as const)('a certificate %s', async (_, certificate, errorClass, message) => {
  const asked = vi.fn()
  const { port } = await rawReceiverOf(behindTls(certificate, (socket) => socket.on('data', asked)))

  const result = await egressTrusting().post(`https://${HOST}:${port}/`)

  expect(result).toMatchObject({ status: null, failure: { errorClass, message } })
  expect(result.timings).toMatchObject({ connectMs: expect.any(Number), tlsMs: expect.any(Number), firstByteMs: null })
  expect(asked).not.toHaveBeenCalled()
})

test('the environment cannot switch the check of certificates off', async () => {
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
  try {
    const { port } = await rawReceiverOf(behindTls(certificates.selfSigned))
    const result = await egressTrusting().post(`https://${HOST}:${port}/`)
    expect(result.failure).toMatchObject({ errorClass: 'TLS_UNTRUSTED' })
  } finally {
    vi.unstubAllEnvs()
  }
})

test('without authorities of our own, only public ones are trusted', async () => {
  const { port } = await rawReceiverOf(behindTls(valid))
  const egress = egressOf({ resolve: async () => ['127.0.0.1'] })
  expect((await egress.post(`https://${HOST}:${port}/`)).failure).toMatchObject({ errorClass: 'TLS_UNTRUSTED' })
})

test.each([
  ['plain HTTP', (socket: Socket) => socket.end('HTTP/1.1 400 x\r\n\r\n'), 'TLS_PROTOCOL', /is not TLS: .*http:/],
  ['TLS 1.1 only', saysAfterHello(tlsAlert(70)), 'TLS_PROTOCOL', /no version of TLS from 1.2 on/],
  ['no cipher in common', saysAfterHello(tlsAlert(40)), 'TLS_PROTOCOL', /no version, cipher or key exchange in common/],
  ['a name it does not know', saysAfterHello(tlsAlert(112)), 'TLS_PROTOCOL', /does not know the host name/],
  ['an alert nobody knows', saysAfterHello(tlsAlert(255)), 'TLS_PROTOCOL', /for no reason it named/],
  ['a certificate of ours, TLS 1.3', behindTls(wantsCertificate), 'TLS_CLIENT_CERTIFICATE', /client certificate/],
  [
    'a certificate of ours, TLS 1.2',
    behindTls({ ...wantsCertificate, maxVersion: 'TLSv1.2' }),
    'TLS_CLIENT_CERTIFICATE',
    /client certificate/,
  ],
  ['the end', (socket: Socket) => socket.once('data', () => socket.end()), 'RESET', /during the TLS handshake/],
] as const)('a server that answers the handshake with %s', async (_, does, errorClass, message) => {
  const { port } = await rawReceiverOf(does)
  const { failure } = await egressTrusting().post(`https://${HOST}:${port}/`)
  expect(failure).toEqual({ errorClass, message: expect.stringMatching(message) })
})

test('a port of http:// that speaks TLS', async () => {
  const { url } = await rawReceiverOf(answersAndCloses(tlsAlert(22)))
  expect((await egressOf().post(url)).failure).toEqual({
    errorClass: 'PROTOCOL',
    message: expect.stringContaining('Begin the URL with https://'),
  })
})

test('a handshake that never ends leaves no socket behind', async () => {
  const receiver = await rawReceiverOf((socket) => socket.resume())

  const result = await egressTrusting().post(`https://${HOST}:${receiver.port}/`, { deadlineMs: 200 })

  expect(result.failure).toEqual({ errorClass: 'CONNECT_TIMEOUT', message: expect.stringContaining('TLS handshake') })
  expect(result.timings.totalMs).toBeLessThan(1000)
  await eventually(() => expect(receiver.sockets[0]?.readableEnded || receiver.sockets[0]?.destroyed).toBe(true))
})

test('a ServerHello that comes in pieces, the first as long as an alert, is waited for', async () => {
  const server = await rawReceiverOf(behindTls(valid))
  const { port } = await rawReceiverOf((socket) => {
    const onward = connect({ host: '127.0.0.1', port: server.port }).on('error', () => socket.destroy())
    socket.pipe(onward)
    onward.once('data', (first) => {
      onward.pause()
      socket.write(first.subarray(0, 7))
      setTimeout(() => {
        socket.write(first.subarray(7))
        onward.pipe(socket)
      }, 250)
    })
  })
  expect(await egressTrusting().post(`https://${HOST}:${port}/`)).toMatchObject({ status: 200, failure: null })
})

test('a server that begins the handshake anew is refused, not followed', async () => {
  let begun = 0
  const { port } = await rawReceiverOf(
    behindTls({ ...valid, maxVersion: 'TLSv1.2' }, (socket) => {
      const again = () => {
        if (socket.destroyed || begun++ > 100) return
        socket.renegotiate({}, again)
      }
      socket.on('secure', again).resume()
    }),
  )
  const { failure } = await egressTrusting().post(`https://${HOST}:${port}/`)
  expect(failure).toMatchObject({ errorClass: 'TLS_PROTOCOL' })
  expect(begun).toBeLessThan(10)
})

test('records without end that never become bytes of an answer end the exchange', async () => {
  let flooding = false
  const receiver = await rawReceiverOf(behindTls(valid, (socket) => socket.on('data', () => (flooding = true))))
  const egress = egressOf({
    resolve: async () => ['127.0.0.1'],
    tls: { ca: authority },
    // Tickets of TLS 1.3 would do it, but Node's servers send no more than two. So the bytes are only said to have come.
    dial: ({ port }) => {
      const socket = connect({ host: '127.0.0.1', port })
      let more = 0
      const bytesRead = () => (flooding ? 2 ** 30 : more++)
      return Object.defineProperty(socket, 'bytesRead', { get: bytesRead })
    },
  })

  const result = await egress.post(`https://${HOST}:${receiver.port}/`, { deadlineMs: 5000 })

  expect(result.failure).toMatchObject({ errorClass: 'TLS_PROTOCOL', message: expect.stringContaining('without end') })
  expect(result.timings.totalMs).toBeLessThan(2000)
})

test('a socket of TLS is used again, and closing closes the one below it', async () => {
  const receiver = await rawReceiverOf(behindTls(valid))
  const egress = egressTrusting()
  await egress.post(`https://${HOST}:${receiver.port}/`)
  expect(await egress.post(`https://${HOST}:${receiver.port}/`)).toMatchObject({ status: 200, reusedSocket: true })

  await egress.close()

  await eventually(() => expect(receiver.sockets[0]?.destroyed).toBe(true))
})
