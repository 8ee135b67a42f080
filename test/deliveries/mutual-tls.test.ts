import { expect, test } from 'vitest'
import type { EndpointId } from '../../schema/ids.ts'
import { createEndpoint, updateEndpoint } from '../../src/endpoints/save.ts'
import * as certificates from '../egress/certificates.ts'
import { mutualServer } from '../egress/mutual-server.ts'
import { type Engine, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

const { authority, client, otherClient } = certificates
const clientCertificate = (of: certificates.ServerCertificate, caPem: string | null = authority) => ({
  certificatePem: of.cert,
  privateKeyPem: of.key,
  caPem,
})

const mutualReceiver = async (options: Parameters<typeof mutualServer>[0] = {}) => {
  const { port, seen } = await mutualServer(options)
  return { url: `https://127.0.0.1:${port}`, seen }
}

const newEndpoint = async (engine: Engine, url: string, settings: object = {}): Promise<EndpointId> => {
  const input = { url, retry: { delaysSeconds: [] }, ...settings }
  return (await createEndpoint(engine, engine.viewer, engine.tenantId, input)).endpoint.id
}

const settled = (engine: Engine, count: number) =>
  eventually(async () => {
    const attempts = await engine.attempts()
    expect(attempts).toHaveLength(count)
    return attempts
  })

test('a receiver that requires a certificate gets it, beside credentials; who has none is told so', async () => {
  const receiver = await mutualReceiver()
  const engine = await startEngine({ egress: { tls: { ca: authority } } })
  const [withOne, without, withAStrange] = [
    await newEndpoint(engine, `${receiver.url}/one`, {
      clientCertificate: clientCertificate(client),
      credentials: { bearer: { token: 'abc' } },
    }),
    await newEndpoint(engine, `${receiver.url}/none`),
    await newEndpoint(engine, `${receiver.url}/strange`, {
      clientCertificate: clientCertificate(certificates.strangeClient),
    }),
  ]
  await engine.publish(2)
  const attempts = await settled(engine, 6)

  const of = (id: EndpointId) => attempts.filter(({ endpointId }) => endpointId === id)
  expect(of(withOne)).toMatchObject(Array(2).fill({ succeeded: true, status: 200 }))
  for (const id of [without, withAStrange]) {
    expect(of(id)).toMatchObject(Array(2).fill({ succeeded: false, errorClass: 'TLS_CLIENT_CERTIFICATE' }))
  }
  expect(of(without)[0]?.errorMessage).toContain('this endpoint has none')
  expect(of(withAStrange)[0]?.errorMessage).toContain('the client certificate of this endpoint')
  expect(receiver.seen).toMatchObject(Array(2).fill({ path: '/one', name: 'client', authorization: 'Bearer abc' }))
})

test('endpoints at one origin, with and without certificates, never share a socket', async () => {
  const receiver = await mutualReceiver({ must: false })
  const engine = await startEngine({ egress: { tls: { ca: authority } } })
  await newEndpoint(engine, `${receiver.url}/none`)
  await newEndpoint(engine, `${receiver.url}/one`, { clientCertificate: clientCertificate(client) })
  await newEndpoint(engine, `${receiver.url}/same`, { clientCertificate: clientCertificate(client) })
  await newEndpoint(engine, `${receiver.url}/other`, { clientCertificate: clientCertificate(otherClient) })
  for (let n = 1; n <= 5; n++) {
    await engine.publish()
    await settled(engine, n * 4)
  }
  const pathsOf = Map.groupBy(receiver.seen, ({ socket }) => socket)
  for (const requests of pathsOf.values()) expect(new Set(requests.map(({ path }) => path)).size).toBe(1)
  // Each has used its own again: otherwise the above would say nothing.
  expect(pathsOf.size).toBe(4)
  const names = new Map(receiver.seen.map(({ path, name }) => [path, name]))
  expect(Object.fromEntries(names)).toEqual({
    '/none': null,
    '/one': 'client',
    '/same': 'client',
    '/other': 'other client',
  })
})

test('a certificate that was replaced is not shown again, nor is its socket used', async () => {
  const receiver = await mutualReceiver()
  const engine = await startEngine()
  const id = await newEndpoint(engine, receiver.url, { clientCertificate: clientCertificate(client) })
  await engine.publish()
  await settled(engine, 1)
  await updateEndpoint(engine, engine.viewer, id, { clientCertificate: clientCertificate(otherClient) })
  await engine.publish()
  await settled(engine, 2)
  await updateEndpoint(engine, engine.viewer, id, { clientCertificate: null })
  await engine.publish()
  const attempts = await settled(engine, 3)
  expect(receiver.seen).toMatchObject([
    { name: 'client', socket: 0 },
    { name: 'other client', socket: 1 },
  ])
  // Its authority went with it: the receiver’s own certificate is not a public one.
  expect(attempts[2]).toMatchObject({ errorClass: 'TLS_UNTRUSTED' })
})
