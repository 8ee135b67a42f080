import type { TLSSocket } from 'node:tls'
import { describe, expect, test, vi } from 'vitest'
import type { TlsIdentity } from '../../src/egress/request.ts'
import * as certificates from './certificates.ts'
import { behindTls, tlsAlert, wantsCertificate } from './misbehaviours-tls.ts'
import { mutualServer } from './mutual-server.ts'
import { egressOf, rawReceiverOf } from './world.ts'

const { authority, HOST } = certificates

const identityOf = (
  key: string,
  { cert, key: pem } = certificates.client,
  caPem: string | null = null,
): TlsIdentity => ({
  key,
  certificatePem: cert,
  privateKeyPem: pem,
  caPem,
})
const egressTrusting = () => egressOf({ resolve: async () => ['127.0.0.1'], tls: { ca: authority } })

const mutualUrl = async (options: Parameters<typeof mutualServer>[0] = {}) => {
  const { port, seen } = await mutualServer(options)
  return { url: `https://${HOST}:${port}/`, seen }
}

test('a server that requires a certificate gets it, and on its socket also the next request', async () => {
  const { url, seen } = await mutualUrl()
  const egress = egressTrusting()
  const identity = identityOf('one')
  expect(await egress.post(url, { identity })).toMatchObject({ status: 200, failure: null, reusedSocket: false })
  expect(await egress.post(url, { identity })).toMatchObject({ status: 200, failure: null, reusedSocket: true })
  expect(seen).toMatchObject(Array(2).fill({ name: 'client', socket: 0 }))
})

test('a certificate comes with its intermediate', async () => {
  const { url, seen } = await mutualUrl()
  const identity = identityOf('one', certificates.clientByIntermediate)
  expect(await egressTrusting().post(url, { identity })).toMatchObject({ status: 200 })
  expect(seen).toMatchObject([{ name: 'client' }])
})

test('no request rides on a socket on which somebody else, or nobody, has shown a certificate', async () => {
  const { url, seen } = await mutualUrl({ must: false })
  const egress = egressTrusting()
  const [one, other] = [identityOf('one'), identityOf('other', certificates.otherClient)]
  // The same certificate, but of another endpoint; and a new certificate of the first one.
  const [namesake, replaced] = [identityOf('namesake'), identityOf('one, replaced', certificates.otherClient)]
  for (const identity of [one, null, other, namesake, replaced, one, null, other, namesake, replaced]) {
    expect(await egress.post(url, { identity })).toMatchObject({ status: 200, failure: null })
  }
  const round = [
    { name: 'client', socket: 0 },
    { name: null, socket: 1 },
    { name: 'other client', socket: 2 },
    { name: 'client', socket: 3 },
    { name: 'other client', socket: 4 },
  ]
  expect(seen).toMatchObject([...round, ...round])
})

describe('a server that does not get what it wants', () => {
  test.each(['TLSv1.3', 'TLSv1.2'] as const)('nothing, %s', async (maxVersion) => {
    const { port } = await rawReceiverOf(behindTls({ ...wantsCertificate, maxVersion }))
    expect((await egressTrusting().post(`https://${HOST}:${port}/`)).failure).toEqual({
      errorClass: 'TLS_CLIENT_CERTIFICATE',
      message: expect.stringMatching(/asks for a client certificate, and this endpoint has none/),
    })
  })

  test.each([
    ['TLSv1.3', certificates.strangeClient],
    ['TLSv1.2', certificates.strangeClient],
    ['TLSv1.3', certificates.expiredClient],
    ['TLSv1.2', certificates.expiredClient],
  ] as const)('one it does not accept, %s', async (maxVersion, certificate) => {
    const { url, seen } = await mutualUrl({ maxVersion })
    const result = await egressTrusting().post(url, { identity: identityOf('x', certificate) })
    expect(seen).toEqual([])
    expect(result.failure).toEqual({
      errorClass: 'TLS_CLIENT_CERTIFICATE',
      message: expect.stringMatching(/client certificate of this endpoint.*accept it|did not accept the client/),
    })
  })

  // RFC 8446, section 6: bad_certificate, certificate_revoked, certificate_expired, unknown_ca.
  test.each([42, 44, 45, 48])('and says so with alert %i', async (alert) => {
    const { port } = await rawReceiverOf((socket) => socket.once('data', () => socket.resume().write(tlsAlert(alert))))
    const result = await egressTrusting().post(`https://${HOST}:${port}/`, { identity: identityOf('x') })
    expect(result.failure).toEqual({
      errorClass: 'TLS_CLIENT_CERTIFICATE',
      message: expect.stringContaining('did not accept the client certificate of this endpoint'),
    })
  })
})

test('an authority of its own takes the place of the public ones, for this endpoint alone', async () => {
  const { url } = await mutualUrl({ must: false })
  // Trusts public authorities only.
  const egress = egressOf({ resolve: async () => ['127.0.0.1'] })
  expect((await egress.post(url)).failure).toMatchObject({ errorClass: 'TLS_UNTRUSTED' })
  expect(await egress.post(url, { identity: identityOf('one', undefined, authority) })).toMatchObject({ status: 200 })
  expect((await egress.post(url)).failure).toMatchObject({ errorClass: 'TLS_UNTRUSTED' })
  expect((await egress.post(url, { identity: identityOf('two') })).failure).toMatchObject({
    errorClass: 'TLS_UNTRUSTED',
  })

  const strict = egressTrusting()
  const wrong = identityOf('three', undefined, certificates.strangeAuthority)
  expect((await strict.post(url, { identity: wrong })).failure).toEqual({
    errorClass: 'TLS_UNTRUSTED',
    message: expect.stringContaining('`caPem`'),
  })
})

test('over http nothing is shown, and through a proxy not to the proxy', async () => {
  const asked = vi.fn()
  // The proxy is reached by TLS and would like a certificate.
  const proxy = await rawReceiverOf(
    behindTls({ ...wantsCertificate, rejectUnauthorized: false }, (socket) => {
      socket.once('data', () => {
        asked((socket as TLSSocket).getPeerCertificate().subject ?? null)
        socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
      })
    }),
  )
  const egress = egressOf({
    resolve: async () => ['127.0.0.1'],
    tls: { ca: authority },
    proxy: { protocol: 'https:', hostname: '127.0.0.1', port: proxy.port, authorization: null },
  })
  await egress.post(`https://${HOST}/`, { identity: identityOf('one') })
  expect(asked.mock.calls).toEqual([[null]])
})
